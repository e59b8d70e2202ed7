package resolver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// A Config says which resolver to ask, and how.
type Config struct {
	Address string // host and port of the resolver, asked over UDP and TCP
	// DNSSEC says that the resolver validates. Its AD bit is believed then, and not
	// otherwise.
	DNSSEC bool
	// Anchors are the zones whose keys the resolver was given, without final dots;
	// none is the root alone, ".". Names under none of them are not proven to be
	// anything.
	Anchors []string
	// Timeout bounds one attempt; 0 is 2 s. A resolver goes on looking while it is
	// asked again.
	Timeout time.Duration
	// Attempts is how often a question is asked if no answer comes; 0 is 2. With both
	// defaults a lookup, its repetition and a proof fit into 10 s.
	Attempts int
}

// Limits of one lookup.
const (
	// MaxRecords is how many records of an answer are kept. There are more if as many
	// as this came.
	MaxRecords = 1024
	// MaxLinks is how many CNAMEs, with those that DNAMEs make, lead to an answer.
	MaxLinks = 10

	// udpSize is what the network carries without fragments (RFC 9715, Section 3.2).
	udpSize = 1232
	// udpBuffer is the longest datagram that is read; a longer one is cut off, and not
	// believed.
	udpBuffer = 4096
)

// A Client asks one resolver. It is safe for concurrent use and keeps nothing from
// one question to the next.
type Client struct {
	cfg     Config
	anchors []string // canonical, the deepest first
}

// New returns a client with the defaults of cfg filled in. It asks nothing yet.
func New(cfg Config) *Client {
	cfg.Timeout = cmp.Or(cfg.Timeout, 2*time.Second)
	cfg.Attempts = cmp.Or(cfg.Attempts, 2)
	c := &Client{cfg: cfg}
	for _, zone := range cfg.Anchors {
		c.anchors = append(c.anchors, dns.CanonicalName(zone))
	}
	if len(c.anchors) == 0 {
		c.anchors = []string{"."}
	}
	slices.SortFunc(c.anchors, func(a, b string) int { return cmp.Compare(dns.CountLabel(b), dns.CountLabel(a)) })
	return c
}

// Lookup asks for the records of a type at the name, which is in lower case without a
// final dot and may have labels that begin with underscores. CNAMEs are followed, 10
// at most, whether the resolver does it or not.
//
// A lookup without an answer is a *LookupError, one whose answer may be forged with
// ErrBogus in its chain. Answers to other questions are ignored. All that it does is
// bounded by ctx, and otherwise by the timeout and number of attempts of the Config
// for each of 13 questions at most.
func (c *Client) Lookup(ctx context.Context, name string, t Type) (*Answer, error) {
	failed := func(reason string, err error) error {
		return &LookupError{Name: name, Type: t, Reason: reason, Err: err}
	}
	at := dns.CanonicalName(name)
	if _, ok := dns.IsDomainName(at); !ok || at == "." {
		return nil, failed("not a domain name", nil)
	}
	walk := chain{at: at, want: uint16(t), secure: c.cfg.DNSSEC}
	for !walk.done {
		m, err := c.ask(ctx, walk.at, walk.want)
		if err != nil {
			return nil, failed(reason(err), cause(err))
		}
		if err := walk.read(m); err != nil {
			return nil, failed(err.Error(), nil)
		}
	}
	return walk.answer(), nil
}

// A failure is a question that the resolver did not answer, or answered with a
// response code that is no answer.
type failure struct {
	reason string
	cause  error // may be nil
}

func (f *failure) Error() string { return f.reason }
func (f *failure) Unwrap() error { return f.cause }

// reason returns what is told to the owner of the domain.
func reason(err error) string {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.reason
	}
	return "no answer"
}

func cause(err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.cause
	}
	return err
}

// ask asks one question and returns the answer of a resolver that has one: NOERROR or
// NXDOMAIN. Other errors than a *failure do not come.
func (c *Client) ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	m, err := c.exchange(ctx, name, qtype, false)
	if err != nil {
		return nil, err
	}
	if m.Rcode == dns.RcodeServerFailure && c.cfg.DNSSEC {
		switch code, told := extendedError(m); {
		case told && isBogus(code):
			return nil, &failure{"SERVFAIL: " + dns.ExtendedErrorCodeToString[code], ErrBogus}
		case !told:
			return c.probe(ctx, name, qtype)
		}
	}
	return checked(m)
}

// probe finds out why a validating resolver that does not say so answered SERVFAIL.
// If there is an answer without validation (CD; RFC 4035, Section 3.2.2) but none with
// it, even now, the answer is bogus.
func (c *Client) probe(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	servfail := &failure{reason: dns.RcodeToString[dns.RcodeServerFailure]}
	unchecked, err := c.exchange(ctx, name, qtype, true)
	if err != nil {
		return nil, servfail
	}
	if _, err := checked(unchecked); err != nil {
		return nil, servfail
	}
	again, err := c.exchange(ctx, name, qtype, false)
	if err != nil {
		return nil, servfail
	}
	if again.Rcode == dns.RcodeServerFailure {
		return nil, &failure{servfail.reason, ErrBogus}
	}
	return checked(again)
}

// checked returns m if it is an answer of a resolver.
func checked(m *dns.Msg) (*dns.Msg, error) {
	switch {
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		code, ok := dns.RcodeToString[m.Rcode]
		if !ok {
			code = fmt.Sprintf("response code %d", m.Rcode)
		}
		return nil, &failure{reason: code}
	case !m.RecursionAvailable:
		return nil, &failure{reason: "what was asked is not a recursive resolver"}
	case m.Truncated: // over TCP as well
		return nil, &failure{reason: "the answer is too large"}
	}
	return m, nil
}

// extendedError returns the extended error that says most of an answer (RFC 8914):
// one of validation if there is any. Those that say nothing do not count.
func extendedError(m *dns.Msg) (code uint16, told bool) {
	opt := m.IsEdns0()
	if opt == nil {
		return 0, false
	}
	for _, option := range opt.Option {
		ede, ok := option.(*dns.EDNS0_EDE)
		if !ok || ede.InfoCode == dns.ExtendedErrorCodeOther || ede.InfoCode == dns.ExtendedErrorCodeCachedError {
			continue
		}
		if code, told = ede.InfoCode, true; isBogus(code) {
			break
		}
	}
	return code, told
}

// isBogus says whether an extended error is that of a failed validation (RFC 8914,
// Section 4). DNSSEC Indeterminate is not: nothing says that an answer was forged.
func isBogus(code uint16) bool {
	switch code {
	case dns.ExtendedErrorCodeDNSBogus, dns.ExtendedErrorCodeSignatureExpired,
		dns.ExtendedErrorCodeSignatureNotYetValid, dns.ExtendedErrorCodeDNSKEYMissing,
		dns.ExtendedErrorCodeRRSIGsMissing, dns.ExtendedErrorCodeNoZoneKeyBitSet,
		dns.ExtendedErrorCodeNSECMissing, dns.ExtendedErrorCodeSignatureExpiredBeforeValid:
		return true
	}
	return false
}

// exchange asks one question over UDP, and over TCP if the answer did not fit. It
// asks again if no answer came in time. CD is set if unchecked.
func (c *Client) exchange(ctx context.Context, name string, qtype uint16, unchecked bool) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.SetEdns0(udpSize, c.cfg.DNSSEC)
	q.CheckingDisabled = unchecked
	var last error
	for range c.cfg.Attempts {
		m, err := c.once(ctx, q.Copy())
		if err == nil {
			return m, nil
		}
		last = err
		if !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
			break
		}
	}
	if errors.Is(last, os.ErrDeadlineExceeded) || ctx.Err() != nil {
		return nil, &failure{"no answer in time", cmp.Or(ctx.Err(), last)}
	}
	return nil, &failure{"the resolver cannot be asked", last}
}

// once asks over UDP and, if the answer says so, over TCP.
func (c *Client) once(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	m, err := c.over(ctx, "udp", q)
	if err != nil || !m.Truncated {
		return m, err
	}
	return c.over(ctx, "tcp", q)
}

// over asks over one transport, with an ID of its own, and waits for the answer to
// this very question. It reports os.ErrDeadlineExceeded if ctx ends first.
func (c *Client) over(ctx context.Context, network string, q *dns.Msg) (*dns.Msg, error) {
	q.Id = dns.Id()
	raw, err := (&net.Dialer{}).DialContext(ctx, network, c.cfg.Address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, errors.Join(os.ErrDeadlineExceeded, err)
		}
		return nil, err
	}
	conn := &dns.Conn{Conn: raw, UDPSize: udpBuffer}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.WriteMsg(q); err != nil {
		return nil, err
	}
	for {
		wire, err := conn.ReadMsgHeader(nil)
		if err != nil && !errors.Is(err, dns.ErrShortRead) {
			return nil, err
		}
		m, err := parse(wire)
		if err == nil && answers(m, q) {
			return m, nil
		}
		if network != "udp" {
			return nil, errors.Join(errors.New("the answer is not one to the question"), err)
		}
	}
}

// answers says whether m is a response to the question q.
func answers(m, q *dns.Msg) bool {
	return m.Response && m.Id == q.Id && m.Opcode == dns.OpcodeQuery && len(m.Question) == 1 &&
		strings.EqualFold(m.Question[0].Name, q.Question[0].Name) &&
		m.Question[0].Qtype == q.Question[0].Qtype && m.Question[0].Qclass == q.Question[0].Qclass
}
