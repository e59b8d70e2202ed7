package dcv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/resolver"
)

// Config says how an engine sees the network.
type Config struct {
	Resolver Resolver
	// DNSSEC says that the resolver validates.
	DNSSEC bool
	// Dial connects to a host of a stranger's choice. It must refuse addresses that
	// are not public. With [egress.Dialer] it is DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// HTTPPort and HTTPSPort are 80 and 443 but in a test world (BR 1.6.1,
	// Authorized Ports); 0 is the default.
	HTTPPort, HTTPSPort uint16
	// CAAValid is how long CAA records may be relied on if their TTL is shorter.
	CAAValid time.Duration
	Clock    telamon.Clock
}

// Engine looks at domains from here. It is safe for concurrent use and keeps nothing
// from one question to the next.
type Engine struct {
	cfg Config
}

// New returns an engine.
func New(cfg Config) *Engine {
	if cfg.HTTPPort == 0 {
		cfg.HTTPPort = 80
	}
	if cfg.HTTPSPort == 0 {
		cfg.HTTPSPort = 443
	}
	return &Engine{cfg: cfg}
}

// A method looks for what shows control.
type method interface {
	validate(ctx context.Context, q Question) Finding
}

// method returns the implementation of a method, nil if it is not one that looks.
func (e *Engine) method(m telamon.Method) method {
	switch m {
	case telamon.MethodDNS:
		return tokenRecord{e}
	case telamon.MethodPersist:
		return standingRecord{e}
	case telamon.MethodHTTP:
		return file{e}
	default:
		return nil
	}
}

// Validate answers a question within Timeout. It reports an error for a question of a
// method that does not look at anything, or not at an IP address that is claimed, and
// otherwise only if ctx ended.
func (e *Engine) Validate(ctx context.Context, q Question) (Finding, error) {
	m := e.method(q.Method)
	if m == nil {
		return Finding{}, fmt.Errorf("validate %s: method %q does not look for anything", q.Name, q.Method)
	}
	if q.Kind == telamon.ClaimIP && q.Method != telamon.MethodHTTP {
		return Finding{}, fmt.Errorf("validate %s: method %q is not one for IP addresses", q.Name, q.Method)
	}
	limited, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	finding := m.validate(limited, q)
	if err := ctx.Err(); err != nil && !finding.Found {
		return Finding{}, fmt.Errorf("validate %s: %w", q.Name, err)
	}
	return finding, nil
}

// notFound is a finding that shows nothing.
func notFound(evidence telamon.Evidence, format string, args ...any) Finding {
	return Finding{Evidence: evidence, Problem: fmt.Sprintf(format, args...)}
}

// dnssec says what the resolver could prove of an answer.
func (e *Engine) dnssec(a *resolver.Answer) telamon.DNSSEC {
	switch {
	case !e.cfg.DNSSEC:
		return telamon.DNSSECOff
	case a.Secure:
		return telamon.DNSSECSecure
	default:
		return telamon.DNSSECInsecure
	}
}

// lookupProblem is what the applicant is told of a lookup that failed.
func lookupProblem(name string, err error) string {
	if errors.Is(err, resolver.ErrBogus) {
		return fmt.Sprintf("DNSSEC check failed at %s; validation stops here.", name)
	}
	reason := "no answer"
	if failed, ok := errors.AsType[*resolver.LookupError](err); ok {
		reason = failed.Reason
	}
	return fmt.Sprintf("The DNS did not answer for %s: %s.", name, reason)
}
