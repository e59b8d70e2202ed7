package dcv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/resolver"
)

// caaTags are the properties whose critical flag is no obstacle: those that say who
// may issue, and those that only tell something (RFC 8659; BR 3.2.2.4.13; RFC 9495).
var caaTags = []string{"issue", "issuewild", "iodef", "contactemail", "contactphone", "issuemail", "issuevmc"}

// CheckCAA says whether the CAA records of a dNSName let us issue (RFC 8659). The
// records are those of the name itself or of its closest ancestor that has any.
//
// A lookup that fails forbids, unless it was tried again and the zone is proven to be
// unsigned (BR 4.2.2.1). It reports an error only if ctx ended.
func (e *Engine) CheckCAA(ctx context.Context, q CAAQuestion) (telamon.CAACheck, error) {
	limited, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	check := e.checkCAA(limited, q)
	if err := ctx.Err(); err != nil && !check.Allowed {
		return telamon.CAACheck{}, fmt.Errorf("check CAA of %s: %w", q.Name, err)
	}
	return check, nil
}

func (e *Engine) checkCAA(ctx context.Context, q CAAQuestion) telamon.CAACheck {
	now := e.cfg.Clock.Now().Truncate(time.Millisecond)
	check := telamon.CAACheck{Name: q.Name, At: now, GoodTo: now.Add(e.cfg.CAAValid)}
	base, wildcard := strings.CutPrefix(q.Name, "*.")
	ttl, proven, note := time.Duration(-1), true, ""
	for domain := base; domain != ""; {
		answer, err := e.lookupTwice(ctx, domain)
		if err != nil {
			if problem := e.failedCAA(ctx, domain, err); problem != "" {
				check.Problem = problem
				return check
			}
			note = fmt.Sprintf("The CAA lookup at %s failed twice; its zone is proven to be unsigned.", domain)
			proven, ttl = false, 0
		} else {
			proven = proven && answer.Secure
			if ttl < 0 || answer.TTL < ttl {
				ttl = answer.TTL
			}
			if len(answer.CAA) > 0 {
				check.Found = domain
				e.judge(&check, q, answer.CAA, wildcard)
				break
			}
		}
		_, domain, _ = strings.Cut(domain, ".")
	}
	if check.Found == "" {
		check.Allowed = true
	}
	if check.Allowed {
		check.Problem = note
	}
	check.DNSSEC = e.dnssec(&resolver.Answer{Secure: proven})
	check.GoodTo = now.Add(max(ttl, e.cfg.CAAValid))
	return check
}

// lookupTwice looks a name's CAA records up, and once more if that fails.
func (e *Engine) lookupTwice(ctx context.Context, name string) (*resolver.Answer, error) {
	answer, err := e.cfg.Resolver.Lookup(ctx, name, resolver.TypeCAA)
	if err != nil && !errors.Is(err, resolver.ErrBogus) {
		answer, err = e.cfg.Resolver.Lookup(ctx, name, resolver.TypeCAA)
	}
	return answer, err
}

// failedCAA returns why a lookup that failed twice forbids, or "" if it does not.
func (e *Engine) failedCAA(ctx context.Context, name string, err error) string {
	if errors.Is(err, resolver.ErrBogus) {
		return lookupProblem(name, err)
	}
	insecure, proofErr := e.cfg.Resolver.ProvenInsecure(ctx, name)
	if proofErr == nil && insecure {
		return ""
	}
	return "CAA: " + lookupProblem(name, err)
}

// judge sets what the records of check.Found say.
func (e *Engine) judge(check *telamon.CAACheck, q CAAQuestion, records []resolver.CAA, wildcard bool) {
	if len(records) > MaxRecords {
		check.Problem = fmt.Sprintf("There are more than %d CAA records at %s.", MaxRecords, check.Found)
		return
	}
	var issue, issueWild []resolver.CAA
	for _, r := range records {
		tag := strings.ToLower(r.Tag)
		switch {
		case tag == "issue":
			issue = append(issue, r)
		case tag == "issuewild":
			issueWild = append(issueWild, r)
		case r.IsCritical() && !slices.Contains(caaTags, tag):
			check.Problem = fmt.Sprintf("CAA record at %s has a critical property that is not known.", check.Found)
			return
		}
	}
	relevant := issue
	if wildcard && len(issueWild) > 0 {
		relevant = issueWild
	}
	if len(relevant) == 0 {
		check.Allowed = true
		return
	}
	check.Problem = fmt.Sprintf("CAA record at %s does not allow %s.", check.Found, strings.Join(q.Issuers, ", "))
	methods, all := map[string]bool{}, false
	for _, r := range relevant {
		admits := e.admits(check, q, r.Value)
		if !admits.ours {
			continue
		}
		check.Allowed = true
		all = all || admits.methods == nil
		for _, m := range admits.methods {
			methods[m] = true
		}
	}
	if !check.Allowed {
		return
	}
	if !all {
		for _, m := range q.Methods {
			if methods[m] {
				check.Methods = append(check.Methods, m)
			}
		}
	}
}

// admission is what one property says of us.
type admission struct {
	ours    bool
	methods []string // of the question, that it admits; nil: all
}

// admits reads a property issue or issuewild. If it names us and still forbids, it
// says why in check.Problem.
func (e *Engine) admits(check *telamon.CAACheck, q CAAQuestion, text string) admission {
	value, ok := parseIssueValue(text)
	if !ok || !slices.ContainsFunc(q.Issuers, func(issuer string) bool { return strings.EqualFold(issuer, value.issuer) }) {
		return admission{}
	}
	var methods []string
	restricted, accounts := false, 0
	for _, p := range value.parameters { // RFC 8657
		switch strings.ToLower(p.tag) {
		case "accounturi":
			if accounts++; accounts > 1 || p.value != q.AccountURI {
				check.Problem = fmt.Sprintf("CAA record at %s names another account.", check.Found)
				return admission{}
			}
		case "validationmethods":
			if !isMethodList(p.value) {
				return admission{}
			}
			listed := strings.Split(p.value, ",")
			admitted := slices.DeleteFunc(slices.Clone(q.Methods), func(m string) bool { return !slices.Contains(listed, m) })
			if restricted { // each of them must hold
				admitted = slices.DeleteFunc(admitted, func(m string) bool { return !slices.Contains(methods, m) })
			}
			methods, restricted = admitted, true
		}
	}
	if restricted && len(methods) == 0 {
		check.Problem = fmt.Sprintf("CAA record at %s does not allow the method of validation.", check.Found)
		return admission{}
	}
	return admission{ours: true, methods: methods}
}
