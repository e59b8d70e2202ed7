package perspective_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/perspective"
	"github.com/telamon-ca/telamon/internal/rules"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// ofCAA is the question about CAA that most tests ask.
var ofCAA = dcv.CAAQuestion{
	Name: "*.www.example.com", Issuers: []string{"ca.example.com"}, AccountURI: "acct:1@ca.example.com", Methods: []string{"ca-tbr-4", "ca-tbr-7"},
}

// after is a perspective that takes that long, or until its time is over.
func after(d time.Duration, at dcv.Perspective) dcv.Perspective {
	wait := func(ctx context.Context) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fake{
		validate: func(ctx context.Context, q dcv.Question) (dcv.Finding, error) {
			if err := wait(ctx); err != nil {
				return dcv.Finding{}, err
			}
			return at.Validate(ctx, q)
		},
	}
}

// seated returns remote perspectives in different regions.
func seated(locals ...dcv.Perspective) []perspective.Remote {
	var remotes []perspective.Remote
	for i, local := range locals {
		remotes = append(remotes, perspective.Remote{Name: "agent-" + string(rune('1'+i)), Region: regions[i], Perspective: local})
	}
	return remotes
}

func quiet(t *testing.T, local dcv.Perspective, remotes ...dcv.Perspective) *perspective.Panel {
	t.Helper()
	return newPanel(t, perspective.PanelConfig{
		Local: local, Remotes: seated(remotes...), Rules: rules.Default(), Clock: testkit.NewClock(t, today), Log: slog.New(slog.DiscardHandler),
	})
}

// TestPanelTime checks how long a panel waits: for all that can change the outcome,
// and a moment for the others.
func TestPanelTime(t *testing.T) {
	yes, no := found(telamon.CoversTree), missing()
	const late = 3 * time.Second
	tests := []struct {
		name    string
		local   dcv.Perspective
		remotes []dcv.Perspective
		found   bool
		took    time.Duration
		last    string // what the last view says
	}{
		{"all at once", yes, []dcv.Perspective{yes, yes, yes, yes, yes}, true, 0, ""},
		{"one that is not needed comes soon", yes, []dcv.Perspective{yes, yes, yes, yes, after(100*time.Millisecond, yes)}, true, 100 * time.Millisecond, ""},
		{"one that is not needed is slow", yes, []dcv.Perspective{yes, yes, yes, yes, after(late, yes)}, true, perspective.DefaultGrace, "not waited for"},
		{"one that is needed is slow", yes, []dcv.Perspective{yes, yes, yes, no, after(late, yes)}, true, late, ""},
		{"one that is needed never answers", yes, []dcv.Perspective{yes, yes, yes, no, slow()}, false, dcv.Timeout, "no answer in time"},
		{"two dissent, one is slow", yes, []dcv.Perspective{yes, yes, no, no, after(late, yes)}, false, perspective.DefaultGrace, "not waited for"},
		{"the local one sees nothing", no, []dcv.Perspective{yes, yes, yes, yes, after(late, yes)}, false, perspective.DefaultGrace, "not waited for"},
		{"the local one is slow", after(late, yes), []dcv.Perspective{yes, yes, yes, yes, yes}, true, late, ""},
		{"the local one is slow, and two dissent", after(late, yes), []dcv.Perspective{yes, yes, yes, no, no}, false, late,
			"No matching TXT record at www.example.com. Found: 0 records."},
		{"one fails at once", yes, []dcv.Perspective{yes, yes, yes, yes, failing(errors.New("secret detail"))}, true, 0, "could not be asked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				finding, err := quiet(t, tt.local, tt.remotes...).Validate(t.Context(), ofTXT, true)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
				if finding.Found != tt.found || finding.Evidence.Corrob != tt.found {
					t.Errorf("finding = %+v", finding)
				}
				if last := problemOf(finding.Evidence.Views, "agent-5"); last != tt.last {
					t.Errorf("the last one says %q, want %q", last, tt.last)
				}
			})
		})
	}
}

// TestPanelErrors checks what is not the domain's problem.
func TestPanelErrors(t *testing.T) {
	yes := found(telamon.CoversTree)
	cause := errors.New("out of files")
	if _, err := quiet(t, failing(cause), yes, yes, yes, yes).Validate(t.Context(), ofTXT, true); !errors.Is(err, cause) {
		t.Errorf("the local perspective fails: %v", err)
	}
	if _, err := quiet(t, failing(cause), yes).Validate(t.Context(), ofTXT, false); !errors.Is(err, cause) {
		t.Errorf("the local perspective fails alone: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := quiet(t, yes, slow(), slow(), slow(), slow()).Validate(ctx, ofTXT, true)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("the context ends: %v after %v", err, time.Since(start))
		}
	})
}

// TestPanelOrder checks that views are in the order of names, whatever that of the
// configuration, and that what others say is made fit to be kept.
func TestPanelOrder(t *testing.T) {
	yes := found(telamon.CoversTree)
	rude := sees(dcv.Finding{Problem: "line\nbreak \x1b[31m\u202e" + string(make([]byte, 5000))})
	remotes := seated(yes, yes, rude, yes, sees(dcv.Finding{}))
	slices.Reverse(remotes)
	panel := newPanel(t, perspective.PanelConfig{
		Local: yes, Remotes: remotes, Rules: rules.Default(), Clock: testkit.NewClock(t, today), Log: slog.New(slog.DiscardHandler),
	})
	finding, err := panel.Validate(t.Context(), ofTXT, true)
	if err != nil || agreeing(finding.Evidence.Views) != "agent-1 agent-2 agent-4" {
		t.Fatalf("finding = %+v, %v", finding, err)
	}
	said := problemOf(finding.Evidence.Views, "agent-3")
	if len(said) > 310 || slices.ContainsFunc([]rune(said), func(r rune) bool { return r < ' ' || r == '\u202e' }) {
		t.Errorf("kept: %q", said)
	}
	if got := problemOf(finding.Evidence.Views, "agent-5"); got == "" {
		t.Error("a perspective that does not agree has no problem")
	}
}

// TestWeaker checks that the least of all that agree holds.
func TestWeaker(t *testing.T) {
	at := func(hours int) *time.Time {
		until := time.Date(2026, 12, 1, hours, 0, 0, 0, time.UTC)
		return &until
	}
	standing := func(c telamon.Coverage, until *time.Time) dcv.Perspective {
		return sees(dcv.Finding{Found: true, Coverage: c, Evidence: telamon.Evidence{Until: until}})
	}
	tree, exact := telamon.CoversTree, telamon.CoversExact
	tests := []struct {
		name    string
		local   dcv.Perspective
		remotes []dcv.Perspective
		want    telamon.Coverage
		until   *time.Time
	}{
		{"all alike", standing(tree, at(5)), []dcv.Perspective{standing(tree, at(5)), standing(tree, at(5)), standing(tree, at(5)), standing(tree, at(5))}, tree, at(5)},
		{"one exact", standing(tree, nil), []dcv.Perspective{standing(tree, nil), standing(tree, nil), standing(tree, nil), standing(exact, nil)}, exact, nil},
		{"the local one exact", standing(exact, nil), []dcv.Perspective{standing(tree, nil), standing(tree, nil), standing(tree, nil), standing(tree, nil)}, exact, nil},
		{"one ends earlier", standing(tree, at(5)), []dcv.Perspective{standing(tree, at(3)), standing(tree, nil), standing(tree, at(9)), standing(tree, at(5))}, tree, at(3)},
		{"one ends at all", standing(tree, nil), []dcv.Perspective{standing(tree, at(3)), standing(tree, nil), standing(tree, nil), standing(tree, nil)}, tree, at(3)},
		{"a dissenter does not count", standing(tree, nil), []dcv.Perspective{sees(dcv.Finding{Coverage: exact}), standing(tree, nil), standing(tree, nil), standing(tree, nil)}, tree, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			finding, err := quiet(t, tt.local, tt.remotes...).Validate(t.Context(), ofTXT, true)
			until := finding.Evidence.Until
			if err != nil || !finding.Found || finding.Coverage != tt.want || (until == nil) != (tt.until == nil) || until != nil && !until.Equal(*tt.until) {
				t.Errorf("finding = %+v, %v", finding, err)
			}
		})
	}
}

// TestCAAIntersection checks that only what all allow who agree is allowed.
func TestCAAIntersection(t *testing.T) {
	now := testkit.NewClock(t, today).Now()
	allows := func(hours int, skew time.Duration, methods ...string) dcv.Perspective {
		return fake{caa: func(_ context.Context, q dcv.CAAQuestion) (telamon.CAACheck, error) {
			at := now.Add(skew)
			return telamon.CAACheck{Name: q.Name, Allowed: true, At: at, GoodTo: at.Add(time.Duration(hours) * time.Hour), Methods: methods}, nil
		}}
	}
	forbids := fake{caa: func(_ context.Context, q dcv.CAAQuestion) (telamon.CAACheck, error) {
		return telamon.CAACheck{Name: q.Name, Problem: "CAA record at example.com does not allow ca.example.com.", At: now, GoodTo: now}, nil
	}}
	free := allows(8, 0)
	tests := []struct {
		name    string
		local   dcv.Perspective
		remotes []dcv.Perspective
		allowed bool
		methods []string
		quorum  string
		hours   int
	}{
		{"all allow all", free, []dcv.Perspective{free, free, free, free}, true, nil, "4/4", 8},
		{"the local one restricts", allows(8, 0, "ca-tbr-7"), []dcv.Perspective{free, free, free, free}, true, []string{"ca-tbr-7"}, "4/4", 8},
		{"one restricts", free, []dcv.Perspective{free, allows(8, 0, "ca-tbr-4"), free, free}, true, []string{"ca-tbr-4"}, "4/4", 8},
		{"they restrict differently", allows(8, 0, "ca-tbr-4", "ca-tbr-7"),
			[]dcv.Perspective{allows(8, 0, "ca-tbr-7"), allows(8, 0, "ca-tbr-7", "ca-tbr-4"), free, free}, true, []string{"ca-tbr-7"}, "4/4", 8},
		{"one allows another method than the local one", allows(8, 0, "ca-tbr-4"),
			[]dcv.Perspective{free, allows(8, 0, "ca-tbr-7"), free, free}, true, []string{"ca-tbr-4"}, "3/4", 8},
		{"two allow another method than the local one", allows(8, 0, "ca-tbr-4"),
			[]dcv.Perspective{free, allows(8, 0, "ca-tbr-7"), free, allows(8, 0, "ca-tbr-7")}, false, nil, "2/4", 8},
		{"nothing is left", free, []dcv.Perspective{free, allows(8, 0, "ca-tbr-7"), allows(8, 0, "ca-tbr-4"), free}, false, nil, "4/4", 8},
		{"one forbids", free, []dcv.Perspective{free, forbids, free, free}, true, nil, "3/4", 8},
		{"two forbid", free, []dcv.Perspective{free, forbids, forbids, free}, false, nil, "2/4", 8},
		{"the local one forbids", forbids, []dcv.Perspective{free, free, free, free}, false, nil, "4/4", 0},
		{"one has it for less time", allows(20, 0), []dcv.Perspective{allows(9, 0), allows(24, 0), allows(20, 0), allows(12, 0)}, true, nil, "4/4", 9},
		{"clocks that differ", allows(20, 0), []dcv.Perspective{allows(9, -100*time.Hour), allows(10, 50*time.Hour), free, free}, true, nil, "4/4", 8},
		{"a dissenter's time does not count", allows(20, 0), []dcv.Perspective{forbids, allows(20, 0), allows(20, 0), allows(20, 0)}, true, nil, "3/4", 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check, err := quiet(t, tt.local, tt.remotes...).CheckCAA(t.Context(), ofCAA, true)
			if err != nil || check.Allowed != tt.allowed || !slices.Equal(check.Methods, tt.methods) || check.Quorum != tt.quorum || len(check.Views) != 4 {
				t.Errorf("check = %+v, %v", check, err)
			}
			if check.Methods != nil && len(check.Methods) == 0 {
				t.Error("the methods are an empty list, which is stored as all")
			}
			if !check.Allowed && check.Problem == "" {
				t.Error("there is no problem")
			}
			if check.Allowed && !check.GoodTo.Equal(now.Add(time.Duration(tt.hours)*time.Hour)) {
				t.Errorf("good to %s", check.GoodTo)
			}
		})
	}
	alone, err := quiet(t, free, forbids, forbids, forbids, forbids).CheckCAA(t.Context(), ofCAA, false)
	if err != nil || !alone.Allowed || alone.Views != nil || alone.Quorum != "" {
		t.Errorf("without corroboration: %+v, %v", alone, err)
	}
}

func TestNewPanel(t *testing.T) {
	yes := found(telamon.CoversTree)
	bad := map[string][]perspective.Remote{
		"the same name twice":    {{Name: "a", Region: "ARIN", Perspective: yes}, {Name: "a", Region: "APNIC", Perspective: yes}},
		"no name":                {{Region: "ARIN", Perspective: yes}},
		"a name of two lines":    {{Name: "a\nb", Region: "ARIN", Perspective: yes}},
		"a region by other name": {{Name: "a", Region: "Ripe", Perspective: yes}},
	}
	for name, remotes := range bad {
		if _, err := perspective.NewPanel(perspective.PanelConfig{Local: yes, Remotes: remotes, Rules: rules.Default()}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
