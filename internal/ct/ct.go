// Package ct submits precertificates to logs of Certificate Transparency (RFC 6962) and
// verifies the timestamps that they sign. It prepares, signs and stores nothing, and
// trusts the configuration for the keys and operators of logs, and no log for anything
// but its signature.
package ct

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// LogConfig says where a log is and who it has to be.
type LogConfig struct {
	URL      string // its prefix, to which ct/v1/add-pre-chain is appended
	Key      []byte // DER SubjectPublicKeyInfo
	Operator string // whose log it is: timestamps count for different operators
}

// Config names what a Submitter is made of.
type Config struct {
	Logs []LogConfig
	// Want is how many timestamps a certificate gets, at least 2, and from at least two
	// operators. Logs are asked at once, and the first good answers are taken.
	Want int
	// Timeout bounds how long all of that may take.
	Timeout time.Duration
	RootCAs *x509.CertPool // of logs with https; nil is the system's
	Clock   telamon.Clock
	Log     *slog.Logger // nil discards
}

// minOperators is how many operators the timestamps of a certificate come from, so that
// one of them cannot hide it alone.
const minOperators = 2

// Submitter submits precertificates. It is safe for concurrent use.
type Submitter struct {
	logs    []*ctLog
	want    int
	timeout time.Duration
	clock   telamon.Clock
	log     *slog.Logger
}

// ctLog is one log.
type ctLog struct {
	logKey
	url, operator string
	http          *http.Client
}

// New returns a submitter, after checking the configuration: it connects to nothing
// yet.
func New(cfg Config) (*Submitter, error) {
	s := &Submitter{want: cfg.Want, timeout: cfg.Timeout, clock: cfg.Clock, log: cfg.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	client := &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12}, Proxy: http.ProxyFromEnvironment,
			MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	operators, ids := map[string]bool{}, map[[32]byte]bool{}
	for _, c := range cfg.Logs {
		key, err := parseLogKey(c.Key)
		u, urlErr := url.Parse(c.URL)
		switch {
		case err != nil:
			return nil, fmt.Errorf("log %s: read its key: %w", c.URL, err)
		case urlErr != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
			return nil, fmt.Errorf("log %q: the URL is not https://host/prefix and nothing else", c.URL)
		case c.Operator == "":
			return nil, fmt.Errorf("log %s: its operator is not named", c.URL)
		case ids[key.id]:
			return nil, fmt.Errorf("log %s: a log of the same key is there already", c.URL)
		}
		operators[c.Operator], ids[key.id] = true, true
		s.logs = append(s.logs, &ctLog{logKey: key, url: strings.TrimSuffix(c.URL, "/"), operator: c.Operator, http: client})
	}
	switch {
	case s.want < 2:
		return nil, errors.New("a certificate needs at least two timestamps")
	case len(s.logs) < s.want:
		return nil, fmt.Errorf("there are %d logs for %d timestamps", len(s.logs), s.want)
	case len(operators) < minOperators:
		return nil, errors.New("the logs must be of at least two operators")
	case s.timeout <= 0:
		return nil, errors.New("the timeout must be positive")
	}
	return s, nil
}

// answer is what one log said.
type answer struct {
	log *ctLog
	sct *SCT
	err error
}

// Submit submits a signed precertificate, in DER, to all logs at once, and returns the
// first good timestamps: as many as are wanted, of at least two operators. The rest of
// the chain begins with the issuing CA, whose key signed the precertificate, and ends
// with the root.
//
// A log that is slow, fails, or answers with what does not verify is done without, and
// logged. It reports Unavailable with ct_unavailable if too few are left.
func (s *Submitter) Submit(ctx context.Context, precertificate []byte, chain []*x509.Certificate) ([]*SCT, error) {
	parsed, err := x509.ParseCertificate(precertificate)
	if err != nil {
		return nil, fmt.Errorf("read the precertificate: %w", err)
	}
	logged, err := tbs.Logged(parsed.RawTBSCertificate)
	if err != nil {
		return nil, fmt.Errorf("read the precertificate: %w", err)
	}
	if len(chain) == 0 {
		return nil, errors.New("submit a precertificate: there is no chain")
	}
	body, err := encodeChain(precertificate, chain)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	answers := make(chan answer, len(s.logs))
	for _, l := range s.logs {
		go func() {
			sct, err := l.submit(ctx, body)
			answers <- answer{l, sct, err}
		}()
	}
	taken := &collection{want: s.want}
	for range s.logs {
		a := <-answers
		if a.err == nil {
			a.err = s.judge(a, chain[0], logged)
		}
		if a.err != nil {
			s.log.WarnContext(ctx, "a log gave no good timestamp", "log", a.log.url, "operator", a.log.operator, "error", a.err)
			continue
		}
		if taken.add(a.log.operator, a.sct); taken.complete() {
			return taken.scts(), nil
		}
	}
	return nil, &fault.Fault{
		Kind: fault.Unavailable, Code: "ct_unavailable",
		Detail: "Too few logs of Certificate Transparency took the certificate. Retry later.", RetryAfter: 10 * time.Second,
		Cause: fmt.Errorf("%d good timestamps of %d operators, want %d of %d", len(taken.all), len(taken.operators), s.want, minOperators),
	}
}

// maxAhead is how far a timestamp may be ahead of our clock. Clients refuse one that is
// ahead of theirs.
const maxAhead = time.Minute

// maxAge is how old it may be: a log repeats the timestamp of what it knows already,
// and what we submit is new.
const maxAge = time.Hour

// judge reports what is wrong with a log's timestamp.
func (s *Submitter) judge(a answer, issuer *x509.Certificate, logged []byte) error {
	if err := a.log.verify(a.sct, issuer, logged); err != nil {
		return err
	}
	if age := s.clock.Now().Sub(a.sct.At); age < -maxAhead || age > maxAge {
		return fmt.Errorf("the timestamp is of %s", a.sct.At.Format(time.RFC3339))
	}
	return nil
}

// collection gathers timestamps until there are enough.
type collection struct {
	want      int
	all       []*SCT
	from      []string // the operator of each
	operators map[string]bool
}

func (c *collection) add(operator string, sct *SCT) {
	if c.operators == nil {
		c.operators = map[string]bool{}
	}
	c.all, c.from = append(c.all, sct), append(c.from, operator)
	c.operators[operator] = true
}

func (c *collection) complete() bool { return len(c.all) >= c.want && len(c.operators) >= minOperators }

// scts returns as many timestamps as are wanted: the first ones, but the first of
// another operator in the place of the last if they are all of one.
func (c *collection) scts() []*SCT {
	scts := append([]*SCT(nil), c.all[:c.want]...)
	for i := 1; i < len(c.all); i++ {
		if c.from[i] != c.from[0] {
			if i >= c.want {
				scts[c.want-1] = c.all[i]
			}
			break
		}
	}
	return scts
}
