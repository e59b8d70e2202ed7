package perspective

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
	"github.com/telamon-ca/telamon/internal/rules"
)

// A Remote is a remote network perspective of a panel.
type Remote struct {
	Name   string // see CheckName; unique in its panel
	Region string
	// Perspective must return soon after its context has ended.
	Perspective dcv.Perspective
}

// PanelConfig says who looks at domains, and by which rules what they see counts.
type PanelConfig struct {
	Local   dcv.Perspective
	Remotes []Remote
	Rules   *rules.Table
	Clock   telamon.Clock
	Log     *slog.Logger
	// Timeout bounds each perspective by itself; 0 and more than dcv.Timeout are
	// dcv.Timeout.
	Timeout time.Duration
	// Grace is how long perspectives are still waited for when the outcome is
	// certain, so that what they see is recorded; 0 is DefaultGrace.
	Grace time.Duration
}

// DefaultGrace is how long a panel waits for answers that cannot change the outcome.
const DefaultGrace = 250 * time.Millisecond

// A Panel looks at domains from several places of the network at once. It is safe
// for concurrent use, and each question is asked anew.
type Panel struct {
	cfg PanelConfig
}

// NewPanel returns a panel. It reports an error if a remote perspective has no good
// name or region, or the name of another one.
func NewPanel(cfg PanelConfig) (*Panel, error) {
	cfg.Timeout = bounded(cfg.Timeout, dcv.Timeout)
	if cfg.Grace <= 0 {
		cfg.Grace = DefaultGrace
	}
	cfg.Remotes = slices.Clone(cfg.Remotes)
	names := map[string]bool{}
	for _, remote := range cfg.Remotes {
		if err := CheckName(remote.Name, remote.Region); err != nil {
			return nil, err
		}
		if names[remote.Name] {
			return nil, fmt.Errorf("two perspectives have the name %s", remote.Name)
		}
		names[remote.Name] = true
	}
	return &Panel{cfg: cfg}, nil
}

// quorum is what is needed of the remote perspectives for one question.
type quorum struct {
	asked, agreeing, regions int
}

// quorum returns what is needed now, or why it cannot be had.
func (p *Panel) quorum(ctx context.Context, now time.Time) (quorum, string) {
	asked, least := len(p.cfg.Remotes), p.cfg.Rules.MinRemotes(now) // BR 3.2.2.9
	if asked < least {
		p.cfg.Log.ErrorContext(ctx, "too few remote perspectives are configured", "configured", asked, "needed", least)
		return quorum{}, fmt.Sprintf("Only %d remote perspectives are configured; %d are needed.", asked, least)
	}
	return quorum{asked, asked - p.cfg.Rules.MayDisagree(asked), p.cfg.Rules.MinRegions()}, ""
}

// Validate answers a question from here, and if corroborate is set, only as far as
// the remote perspectives agree (BR 3.2.2.9). Then the finding's evidence says what
// each of them saw. It shows control if as many remote perspectives were asked as the
// date demands, all but as many as may disagree found the same, and those lie in
// enough regions. One that fails, or does not answer in time, does not agree. Where
// they found less than is seen from here (a smaller coverage, an earlier end of a
// standing record), the least of all that agree holds.
//
// It reports an error if the local perspective fails, or ctx ends before the outcome
// is certain.
func (p *Panel) Validate(ctx context.Context, q dcv.Question, corroborate bool) (dcv.Finding, error) {
	if !corroborate {
		return p.cfg.Local.Validate(ctx, q)
	}
	needed, problem := p.quorum(ctx, p.cfg.Clock.Now())
	if problem != "" {
		return dcv.Finding{Problem: problem}, nil
	}
	poll := &poll[dcv.Finding]{
		quorum: needed,
		ask:    func(ctx context.Context, at dcv.Perspective) (dcv.Finding, error) { return at.Validate(ctx, q) },
		shows:  func(f dcv.Finding) (bool, string) { return f.Found, f.Problem },
		agrees: func(_, remote dcv.Finding) (bool, string) { return remote.Found, remote.Problem },
	}
	if err := poll.run(ctx, p); err != nil {
		return dcv.Finding{}, fmt.Errorf("validate %s: %w", q.Name, err)
	}
	finding := *poll.local
	finding.Evidence.Views, finding.Evidence.Quorum = poll.views(), poll.tally()
	if !finding.Found {
		return finding, nil
	}
	agreeing, ok := poll.outcome()
	if !ok {
		finding.Found, finding.Coverage = false, ""
		finding.Problem = poll.shortfall("Seen")
		return finding, nil
	}
	finding.Evidence.Corrob = true
	for _, remote := range agreeing {
		weaken(&finding, remote)
	}
	return finding, nil
}

// weaken takes from a finding what another one that agrees with it did not see.
func weaken(finding *dcv.Finding, remote dcv.Finding) {
	if remote.Coverage != telamon.CoversTree {
		finding.Coverage = telamon.CoversExact
	}
	until := remote.Evidence.Until
	if own := finding.Evidence.Until; until != nil && (own == nil || until.Before(*own)) {
		finding.Evidence.Until = until
	}
}

// CheckCAA is Validate for CAA: what must agree is the permission to issue, not the
// records (BR 3.2.2.9). Methods are those that all admit who agree, and GoodTo is the
// earliest of theirs. One whose methods have none in common with those that are
// admitted here does not agree. Its errors are those of Validate.
func (p *Panel) CheckCAA(ctx context.Context, q dcv.CAAQuestion, corroborate bool) (telamon.CAACheck, error) {
	if !corroborate {
		return p.cfg.Local.CheckCAA(ctx, q)
	}
	now := p.cfg.Clock.Now()
	needed, problem := p.quorum(ctx, now)
	if problem != "" {
		return telamon.CAACheck{Name: q.Name, Problem: problem, At: now, GoodTo: now}, nil
	}
	poll := &poll[telamon.CAACheck]{
		quorum: needed,
		ask:    func(ctx context.Context, at dcv.Perspective) (telamon.CAACheck, error) { return at.CheckCAA(ctx, q) },
		shows:  func(c telamon.CAACheck) (bool, string) { return c.Allowed, c.Problem },
		agrees: permits,
	}
	if err := poll.run(ctx, p); err != nil {
		return telamon.CAACheck{}, fmt.Errorf("check CAA of %s: %w", q.Name, err)
	}
	check := *poll.local
	check.Views, check.Quorum = poll.views(), poll.tally()
	if !check.Allowed {
		return check, nil
	}
	agreeing, ok := poll.outcome()
	if !ok {
		check.Allowed, check.Methods = false, nil
		check.Problem = poll.shortfall("CAA permission for " + q.Name + " is seen")
		return check, nil
	}
	for _, remote := range agreeing {
		restrict(&check, remote)
	}
	if check.Methods != nil && len(check.Methods) == 0 { // nil, as which it is stored, would be all
		check.Allowed, check.Methods = false, nil
		check.Problem = fmt.Sprintf("CAA records of %s allow another method of validation at each vantage point.", q.Name)
	}
	return check, nil
}

// permits says whether a remote check permits what the local one does.
func permits(local, remote telamon.CAACheck) (bool, string) {
	if !remote.Allowed {
		return false, remote.Problem
	}
	if common := common(local.Methods, remote.Methods); local.Allowed && common != nil && len(common) == 0 {
		return false, "allows other methods of validation"
	}
	return true, ""
}

// restrict takes from a check what another one that agrees with it does not allow.
// How long the other one is good is counted from its own time: the clocks may differ.
func restrict(check *telamon.CAACheck, remote telamon.CAACheck) {
	check.Methods = common(check.Methods, remote.Methods)
	if end := check.At.Add(remote.GoodTo.Sub(remote.At)); end.Before(check.GoodTo) {
		check.GoodTo = end
	}
}

// common returns the methods in both lists, of which nil is all: nil if both are, and
// otherwise a list that may be empty.
func common(a, b []string) []string {
	switch {
	case a == nil:
		return slices.Clone(b)
	case b == nil:
		return slices.Clone(a)
	}
	both := []string{}
	for _, method := range a {
		if slices.Contains(b, method) {
			both = append(both, method)
		}
	}
	return both
}
