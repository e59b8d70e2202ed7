package perspective_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/perspective"
	"github.com/telamon-ca/telamon/internal/world"
)

// TestMPIC asks agents over mutual TLS (requirement 69): of 5, one may disagree, fail
// or be slow, and what each of them saw is recorded.
func TestMPIC(t *testing.T) {
	yes, no := found(telamon.CoversTree), missing()
	type seats = []dcv.Perspective
	tests := []struct {
		name     string
		agents   seats // nil: dead
		found    bool
		quorum   string
		agreeing string
		problem  string
	}{
		{"all agree", seats{yes, yes, yes, yes, yes}, true, "5/5", "agent-1 agent-2 agent-3 agent-4 agent-5", ""},
		{"one dissents", seats{yes, no, yes, yes, yes}, true, "4/5", "agent-1 agent-3 agent-4 agent-5", ""},
		{"two dissent", seats{yes, no, yes, no, yes}, false, "3/5", "agent-1 agent-3 agent-5", "Seen from 3 of 5 vantage points; 4 needed."},
		{"one is dead", seats{nil, yes, yes, yes, yes}, true, "4/5", "agent-2 agent-3 agent-4 agent-5", ""},
		{"one is slow", seats{yes, yes, yes, yes, slow()}, true, "4/5", "agent-1 agent-2 agent-3 agent-4", ""},
		{"one is dead and one slow", seats{nil, yes, yes, yes, slow()}, false, "3/5", "agent-2 agent-3 agent-4", "Seen from 3 of 5 vantage points; 4 needed."},
		{"all dissent", seats{no, no, no, no, no}, false, "0/5", "", "Seen from 0 of 5 vantage points; 4 needed."},
		{"4 agents, one dissents", seats{yes, yes, no, yes}, true, "3/4", "agent-1 agent-2 agent-4", ""},
		{"4 agents, two dissent", seats{yes, yes, no, no}, false, "2/4", "agent-1 agent-2", "Seen from 2 of 4 vantage points; 3 needed."},
		{"7 agents, two dissent", seats{yes, yes, no, yes, no, yes, yes}, true, "5/7", "agent-1 agent-2 agent-4 agent-6 agent-7", ""},
		{"7 agents, three dissent", seats{yes, no, no, yes, no, yes, yes}, false, "4/7", "agent-1 agent-4 agent-6 agent-7", "Seen from 4 of 7 vantage points; 5 needed."},
		{"3 agents", seats{yes, yes, yes}, false, "", "", "Only 3 remote perspectives are configured; 4 are needed."},
		{"none", nil, false, "", "", "Only 0 remote perspectives are configured; 4 are needed."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPKI(t, today)
			start := time.Now()
			finding, err := p.panel(yes, p.remotes(tt.agents...)).Validate(t.Context(), ofTXT, true)
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			e := finding.Evidence
			if finding.Found != tt.found || finding.Problem != tt.problem || e.Corrob != tt.found || e.Quorum != tt.quorum || agreeing(e.Views) != tt.agreeing {
				t.Errorf("finding = %+v", finding)
			}
			if (finding.Coverage == telamon.CoversTree) != tt.found {
				t.Errorf("coverage %q", finding.Coverage)
			}
			if tt.quorum != "" && len(e.Views) != len(tt.agents) {
				t.Errorf("%d views of %d agents", len(e.Views), len(tt.agents))
			}
			for i, v := range e.Views {
				if v.Region != regions[i] || v.Agrees != (v.Problem == "") {
					t.Errorf("view %+v", v)
				}
			}
		})
	}
}

// TestMinimumByDate checks that 4 agents suffice until the last second of
// 2026-12-14, and no longer (requirement 69; BR 3.2.2.9).
func TestMinimumByDate(t *testing.T) {
	p := newPKI(t, "2026-12-14T23:59:59Z")
	yes := found(telamon.CoversTree)
	remotes := p.remotes(yes, yes, yes, yes, yes)
	four, five := p.panel(yes, remotes[:4]), p.panel(yes, remotes)
	check := func(panel *perspective.Panel, want bool) {
		t.Helper()
		finding, err := panel.Validate(t.Context(), ofTXT, true)
		if err != nil {
			t.Fatal(err)
		}
		if finding.Found != want || finding.Evidence.Corrob != want {
			t.Errorf("at %s: %+v", p.clock.Now(), finding)
		}
	}
	check(four, true)
	check(five, true)
	p.clock.Advance(time.Second)
	check(four, false)
	check(five, true)
	if finding, err := four.Validate(t.Context(), ofTXT, false); err != nil || !finding.Found || finding.Evidence.Corrob {
		t.Errorf("without corroboration: %+v, %v", finding, err)
	}
	caa, err := four.CheckCAA(t.Context(), ofCAA, true)
	if err != nil || caa.Allowed || caa.Problem != "Only 4 remote perspectives are configured; 5 are needed." || caa.Name != ofCAA.Name {
		t.Errorf("CAA with 4 agents: %+v, %v", caa, err)
	}
}

// TestRegions checks that those who agree lie in two regions (BR 3.2.2.9).
func TestRegions(t *testing.T) {
	yes, no := found(telamon.CoversTree), missing()
	tests := []struct {
		name    string
		regions []string
		dissent int // the place of who sees nothing; -1: nobody
		found   bool
	}{
		{"one region", []string{"ARIN", "ARIN", "ARIN", "ARIN"}, -1, false},
		{"two regions", []string{"ARIN", "ARIN", "ARIN", "APNIC"}, -1, true},
		{"only the dissenter lies elsewhere", []string{"ARIN", "ARIN", "ARIN", "APNIC"}, 3, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPKI(t, today)
			var remotes []perspective.Remote
			for i, region := range tt.regions {
				r := perspective.Remote{Name: "a" + string(rune('0'+i)), Region: region, Perspective: yes}
				if i == tt.dissent {
					r.Perspective = no
				}
				remotes = append(remotes, r)
			}
			finding, err := p.panel(yes, remotes).Validate(t.Context(), ofTXT, true)
			if err != nil || finding.Found != tt.found || finding.Evidence.Corrob != tt.found {
				t.Errorf("finding = %+v, %v", finding, err)
			}
			if !tt.found && !strings.HasSuffix(finding.Problem, "not in 2 regions.") {
				t.Errorf("problem %q", finding.Problem)
			}
		})
	}
}

// TestRealEngines asks agents whose engines look at DNS servers that differ: what one
// attacker shows to some places of the network is not enough.
func TestRealEngines(t *testing.T) {
	txt := [3]string{"www.example.com", "TXT", token}
	alias := [3]string{"www.example.com", "CNAME", "target.example.net"}
	yes := startDNS(t, txt)
	no := startDNS(t, [3]string{"www.example.com", "TXT", "something else"})
	exact := startDNS(t, alias, [3]string{"target.example.net", "TXT", token})
	broken := startDNS(t, txt)
	broken.Fail("www.example.com", world.ServFail)
	p := newPKI(t, today)
	at := func(servers ...*world.DNS) []dcv.Perspective {
		var seats []dcv.Perspective
		for _, s := range servers {
			seats = append(seats, engine(s, p.clock))
		}
		return seats
	}
	local := at(yes)[0]
	t.Run("one dissents", func(t *testing.T) {
		finding, err := p.panel(local, p.remotes(at(yes, yes, no, yes, yes)...)).Validate(t.Context(), ofTXT, true)
		if err != nil || !finding.Found || finding.Coverage != telamon.CoversTree || finding.Evidence.Quorum != "4/5" {
			t.Fatalf("finding = %+v, %v", finding, err)
		}
		if got := problemOf(finding.Evidence.Views, "agent-3"); got != "No matching TXT record at www.example.com. Found: 1 records." {
			t.Errorf("agent-3 says %q", got)
		}
		if finding.Evidence.Records != 1 || finding.Evidence.DNSSEC != telamon.DNSSECOff {
			t.Errorf("evidence %+v is not that of the local perspective", finding.Evidence)
		}
	})
	t.Run("two dissent", func(t *testing.T) {
		finding, err := p.panel(local, p.remotes(at(yes, broken, no, yes, yes)...)).Validate(t.Context(), ofTXT, true)
		if err != nil || finding.Found || finding.Coverage != "" || finding.Evidence.Quorum != "3/5" {
			t.Errorf("finding = %+v, %v", finding, err)
		}
	})
	t.Run("only the remote ones see it", func(t *testing.T) {
		finding, err := p.panel(at(no)[0], p.remotes(at(yes, yes, yes, yes)...)).Validate(t.Context(), ofTXT, true)
		if err != nil || finding.Found || finding.Evidence.Corrob || finding.Problem != "No matching TXT record at www.example.com. Found: 1 records." {
			t.Errorf("finding = %+v, %v", finding, err)
		}
	})
	t.Run("one sees it through a CNAME", func(t *testing.T) {
		finding, err := p.panel(local, p.remotes(at(yes, yes, exact, yes)...)).Validate(t.Context(), ofTXT, true)
		if err != nil || !finding.Found || finding.Coverage != telamon.CoversExact || finding.Evidence.Quorum != "4/4" {
			t.Errorf("finding = %+v, %v", finding, err)
		}
	})
	t.Run("CAA", func(t *testing.T) {
		forbids := startDNS(t, [3]string{"example.com", "CAA", `0 issue "other.example"`})
		allows := startDNS(t, [3]string{"example.com", "CAA", `0 issue "ca.example.com; validationmethods=ca-tbr-7"`})
		check, err := p.panel(local, p.remotes(at(yes, allows, forbids, allows, yes)...)).CheckCAA(t.Context(), ofCAA, true)
		if err != nil || !check.Allowed || check.Quorum != "4/5" || !slices.Equal(check.Methods, []string{"ca-tbr-7"}) {
			t.Errorf("one forbids: %+v, %v", check, err)
		}
		check, err = p.panel(local, p.remotes(at(yes, forbids, forbids, allows, yes)...)).CheckCAA(t.Context(), ofCAA, true)
		if err != nil || check.Allowed || check.Quorum != "3/5" || check.Methods != nil {
			t.Errorf("two forbid: %+v, %v", check, err)
		}
	})
}

// TestFreshAttempts checks that nothing is reused: each question has an attempt ID of
// its own, and a record that goes is gone for every perspective at once.
func TestFreshAttempts(t *testing.T) {
	dns := startDNS(t, [3]string{"www.example.com", "TXT", token})
	p := newPKI(t, today)
	var seats []dcv.Perspective
	for range 5 {
		seats = append(seats, engine(dns, p.clock))
	}
	panel := p.panel(engine(dns, p.clock), p.remotes(seats...))
	for _, want := range []bool{true, false, true} {
		dns.Forget()
		finding, err := panel.Validate(t.Context(), ofTXT, true)
		if err != nil || finding.Found != want {
			t.Fatalf("finding = %+v, %v", finding, err)
		}
		if n := len(dns.Queries()); n != 6 {
			t.Errorf("%d questions came to the DNS server, want one of each perspective", n)
		}
		if want {
			dns.Clear()
		} else if err := dns.Add("www.example.com", "TXT", token); err != nil {
			t.Fatal(err)
		}
	}
	attempts := map[string]int{}
	for line := range strings.Lines(p.log.String()) {
		if _, rest, ok := strings.Cut(line, "attempt="); ok {
			id, _, _ := strings.Cut(rest, " ")
			attempts[id]++
		}
	}
	if len(attempts) != 15 {
		t.Errorf("%d attempts, want 15 different ones: %v", len(attempts), attempts)
	}
}

// BenchmarkPanel measures what corroboration by five agents costs on one machine, with
// connections that are kept.
func BenchmarkPanel(b *testing.B) {
	p := newPKI(b, today)
	yes := found(telamon.CoversTree)
	panel := p.panel(yes, p.remotes(yes, yes, yes, yes, yes))
	for b.Loop() {
		finding, err := panel.Validate(b.Context(), ofTXT, true)
		if err != nil || !finding.Evidence.Corrob {
			b.Fatalf("finding = %+v, %v", finding, err)
		}
	}
}
