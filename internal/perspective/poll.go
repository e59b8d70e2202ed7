package perspective

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/dcv"
)

// A poll is one question to all perspectives of a panel, and what has come of it. It
// is used by one goroutine.
type poll[R any] struct {
	quorum
	ask    func(context.Context, dcv.Perspective) (R, error)
	shows  func(local R) (bool, string)         // whether there is anything to agree with
	agrees func(local, remote R) (bool, string) // whether the remote one does, and why not

	remotes []Remote
	local   *R
	answers []*answer[R] // by remote; nil: none yet
}

// An answer is what came of asking one perspective.
type answer[R any] struct {
	result R
	err    error
}

// Why a view does not agree, where the perspective itself has not said.
const (
	notWaitedFor = "not waited for"
	tooSlow      = "no answer in time"
	notAsked     = "could not be asked"
	notSeen      = "not seen"
)

// run asks all perspectives at once. It returns when all have answered or failed, or
// a short time after the outcome has become certain; the others are told to stop.
func (b *poll[R]) run(ctx context.Context, p *Panel) error {
	// 1. Ask. Each has its own time, and none waits for another: the channels hold
	// all answers.
	asking, stop := context.WithCancel(ctx)
	defer stop()
	type numbered struct {
		n int
		answer[R]
	}
	b.remotes, b.answers = p.cfg.Remotes, make([]*answer[R], len(p.cfg.Remotes))
	local, remote := make(chan answer[R], 1), make(chan numbered, len(b.remotes))
	go func() { local <- b.one(asking, p, p.cfg.Local) }()
	for n, r := range b.remotes {
		go func() { remote <- numbered{n, b.one(asking, p, r.Perspective)} }()
	}
	// 2. Collect.
	var grace <-chan time.Time
	for open := len(b.remotes); b.local == nil || open > 0; {
		select {
		case a := <-local:
			if a.err != nil {
				return a.err
			}
			b.local = &a.result
		case a := <-remote:
			b.answers[a.n] = &a.answer
			open--
			if a.err != nil && ctx.Err() == nil {
				p.cfg.Log.WarnContext(ctx, "remote perspective failed", "perspective", b.remotes[a.n].Name, "error", a.err)
			}
		case <-grace:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("wait for the perspectives: %w", ctx.Err())
		}
		if grace == nil && b.certain() {
			timer := time.NewTimer(p.cfg.Grace)
			defer timer.Stop()
			grace = timer.C
		}
	}
	return nil
}

// one asks one perspective.
func (b *poll[R]) one(ctx context.Context, p *Panel, at dcv.Perspective) answer[R] {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	result, err := b.ask(ctx, at)
	return answer[R]{result, err}
}

// certain reports whether no answer that is still to come can change the outcome.
func (b *poll[R]) certain() bool {
	if b.local == nil {
		return false
	}
	if shown, _ := b.shows(*b.local); !shown {
		return true
	}
	agreeing, regions := 0, map[string]bool{}
	possible, possibleRegions := 0, map[string]bool{}
	for n, a := range b.answers {
		if a != nil {
			if agrees, _ := b.judge(a); !agrees {
				continue
			}
			agreeing++
			regions[b.remotes[n].Region] = true
		}
		possible++
		possibleRegions[b.remotes[n].Region] = true
	}
	reached := agreeing >= b.agreeing && len(regions) >= b.regions
	return reached || possible < b.agreeing || len(possibleRegions) < b.regions
}

// judge says whether an answer agrees with the local one, and why not.
func (b *poll[R]) judge(a *answer[R]) (bool, string) {
	if a.err == nil {
		return b.agrees(*b.local, a.result)
	}
	if network, ok := errors.AsType[net.Error](a.err); ok && network.Timeout() || errors.Is(a.err, context.DeadlineExceeded) {
		return false, tooSlow
	}
	return false, notAsked
}

// outcome returns the answers that agree, and whether they are enough.
func (b *poll[R]) outcome() ([]R, bool) {
	var agreeing []R
	regions := map[string]bool{}
	for n, a := range b.answers {
		if a == nil {
			continue
		}
		if agrees, _ := b.judge(a); agrees {
			agreeing = append(agreeing, a.result)
			regions[b.remotes[n].Region] = true
		}
	}
	return agreeing, len(agreeing) >= b.agreeing && len(regions) >= b.regions
}

// views returns what each remote perspective saw, by name.
func (b *poll[R]) views() []telamon.View {
	views := make([]telamon.View, len(b.answers))
	for n, a := range b.answers {
		view := telamon.View{Perspective: b.remotes[n].Name, Region: b.remotes[n].Region, Problem: notWaitedFor}
		if a != nil {
			view.Agrees, view.Problem = b.judge(a)
		}
		if view.Problem = shortened(view.Problem); view.Agrees {
			view.Problem = ""
		} else if view.Problem == "" {
			view.Problem = notSeen
		}
		views[n] = view
	}
	slices.SortFunc(views, func(a, b telamon.View) int { return strings.Compare(a.Perspective, b.Perspective) })
	return views
}

// tally is how many agree of those that were asked, such as "4/5" (BR 5.4.1).
func (b *poll[R]) tally() string {
	agreeing, _ := b.outcome()
	return fmt.Sprintf("%d/%d", len(agreeing), b.asked)
}

// shortfall is what the applicant is told if those that agree are not enough.
func (b *poll[R]) shortfall(seen string) string {
	agreeing, _ := b.outcome()
	text := fmt.Sprintf("%s from %d of %d vantage points; %d needed.", seen, len(agreeing), b.asked, b.agreeing)
	if len(agreeing) >= b.agreeing {
		text = fmt.Sprintf("%s from %d of %d vantage points, but not in %d regions.", seen, len(agreeing), b.asked, b.regions)
	}
	return text
}

// maxProblem is how many octets are kept of what a remote perspective says.
const maxProblem = 300

// shortened returns text of the other side as one line of bounded length.
func shortened(text string) string {
	if len(text) > maxProblem {
		text = strings.ToValidUTF8(text[:maxProblem], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}
