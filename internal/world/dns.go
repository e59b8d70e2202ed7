package world

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// A Fault is a way in which the DNS of a name does not answer as it should.
type Fault string

// The faults.
const (
	ServFail Fault = "servfail" // SERVFAIL
	Refused  Fault = "refused"  // REFUSED
	Drop     Fault = "drop"     // no answer at all
	Truncate Fault = "truncate" // over UDP an empty answer with TC; over TCP all of it
	Lame     Fault = "lame"     // an upward referral that is not authoritative
)

// A Query is a question that was asked.
type Query struct {
	Name string // lower case, without a final dot
	Type string // such as "TXT"
	Net  string // "udp" or "tcp"
}

const (
	maxQueries  = 10_000 // how many questions are remembered; the oldest go first
	defaultTTL  = 5      // seconds
	maxUDPReply = 4096   // octets, whatever the resolver offers
)

// DNS is an authoritative server of every zone there is, over UDP and TCP on one
// port. It follows CNAMEs and DNAMEs inside its data in one answer, as a recursive
// resolver would. Names without records do not exist. It is safe for concurrent use.
//
// The whole is one unsigned zone, the root, until Zone or Sign declare others. It
// makes no referrals but always answers from the deepest zone, so a resolver that
// asks on its own must be told that this is the server of each of the zones.
type DNS struct {
	addr     string
	udp, tcp *dns.Server
	serving  sync.WaitGroup

	mu      sync.RWMutex // guards all that follows
	ttl     uint32
	serial  uint32
	names   map[string]map[uint16][]dns.RR // by owner in canonical form; records are never changed
	known   map[string]bool                // what is in names, as identity has it
	zones   map[string]*zone               // by apex; the root is always there
	faults  map[faultKey]Fault
	queries []Query
}

type faultKey struct {
	name  string
	qtype uint16 // 0: any
}

// StartDNS starts a server without records on addr, a host and port of which the
// port may be 0.
func StartDNS(addr string) (*DNS, error) {
	listener, packets, err := listenBoth(addr)
	if err != nil {
		return nil, fmt.Errorf("start DNS on %s: %w", addr, err)
	}
	d := &DNS{
		addr:   listener.Addr().String(),
		ttl:    defaultTTL,
		serial: 1,
		names:  map[string]map[uint16][]dns.RR{},
		known:  map[string]bool{},
		zones:  map[string]*zone{".": {apex: "."}},
		faults: map[faultKey]Fault{},
	}
	d.udp = &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(d.serve)}
	d.tcp = &dns.Server{Listener: listener, Handler: dns.HandlerFunc(d.serve)}
	for _, s := range []*dns.Server{d.udp, d.tcp} {
		started := make(chan error, 2)
		s.NotifyStartedFunc = func() { started <- nil }
		d.serving.Go(func() { started <- s.ActivateAndServe() })
		if err := <-started; err != nil {
			return nil, errors.Join(fmt.Errorf("start DNS on %s: %w", addr, err), listener.Close(), packets.Close(), d.Close())
		}
	}
	return d, nil
}

// listenBoth listens on the same port for TCP and UDP. If any port will do, it tries
// several, as one that is free for TCP may be in use for UDP.
func listenBoth(addr string) (net.Listener, net.PacketConn, error) {
	var failed error
	for range 10 {
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, nil, err
		}
		packets, err := net.ListenPacket("udp", listener.Addr().String())
		if err == nil {
			return listener, packets, nil
		}
		failed = errors.Join(err, listener.Close())
		if !strings.HasSuffix(addr, ":0") {
			break
		}
	}
	return nil, nil, failed
}

// Addr returns the host and port of both UDP and TCP.
func (d *DNS) Addr() string { return d.addr }

// Close stops the server and waits until it has stopped. A second call reports an
// error.
func (d *DNS) Close() error {
	var errs []error
	for _, s := range []*dns.Server{d.udp, d.tcp} {
		if err := s.Shutdown(); err != nil {
			errs = append(errs, fmt.Errorf("stop DNS: %w", err))
		}
	}
	d.serving.Wait()
	return errors.Join(errs...)
}

// Fail makes questions for the name fail, whatever their type, until Mend. A name
// that begins with "*." stands for all names below. DS records are the parent's: a
// fault at the apex of a zone leaves those of the apex alone.
func (d *DNS) Fail(name string, f Fault) { d.setFault(name, 0, f) }

// FailType is Fail for questions of one type, such as "CAA", alone. A type that is
// not known changes nothing.
func (d *DNS) FailType(name, rtype string, f Fault) {
	if qtype, ok := dns.StringToType[strings.ToUpper(rtype)]; ok {
		d.setFault(name, qtype, f)
	}
}

func (d *DNS) setFault(name string, qtype uint16, f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults[faultKey{dns.CanonicalName(name), qtype}] = f
}

// Mend ends all faults of the name.
func (d *DNS) Mend(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = dns.CanonicalName(name)
	for key := range d.faults {
		if key.name == name {
			delete(d.faults, key)
		}
	}
}

// fault returns the fault of a question, "" if there is none. It needs d.mu.
func (d *DNS) fault(name string, qtype uint16) Fault {
	if f := d.faults[faultKey{name, qtype}]; f != "" {
		return f
	}
	if apex := d.zones[name] != nil; !apex || qtype != dns.TypeDS {
		if f := d.faults[faultKey{name, 0}]; f != "" {
			return f
		}
	}
	for above := range ancestors(name) {
		for _, t := range []uint16{qtype, 0} {
			if f := d.faults[faultKey{"*." + strings.TrimPrefix(above, "."), t}]; f != "" {
				return f
			}
		}
	}
	return ""
}

// Queries returns the questions that were asked since the start or the last Forget,
// oldest first, 10,000 at most. Those that failed by a Fault are among them.
func (d *DNS) Queries() []Query {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Clone(d.queries)
}

// Forget forgets the questions that were asked.
func (d *DNS) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queries = nil
}

func (d *DNS) remember(name string, qtype uint16, network string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queries) >= maxQueries {
		d.queries = slices.Delete(d.queries, 0, maxQueries/10)
	}
	d.queries = append(d.queries, Query{withoutDot(name), dns.Type(qtype).String(), network})
}

// serve answers one message.
func (d *DNS) serve(w dns.ResponseWriter, r *dns.Msg) {
	if m := d.reply(r, w.LocalAddr().Network()); m != nil {
		_ = w.WriteMsg(m) // the other side is gone if it fails
	}
}

// reply returns the answer to a message that came over the network, nil if there is
// to be none.
func (d *DNS) reply(r *dns.Msg, network string) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(r)
	m.RecursionAvailable = true
	size, dnssec := dns.MaxMsgSize, false
	opt := r.IsEdns0()
	if opt != nil {
		dnssec = opt.Do()
		m.SetEdns0(maxUDPReply, dnssec)
	}
	if problem := unanswerable(r); problem != dns.RcodeSuccess {
		m.Rcode = problem
		return m
	}
	name, qtype := dns.CanonicalName(r.Question[0].Name), r.Question[0].Qtype
	d.remember(name, qtype, network)
	if network == "udp" {
		size = dns.MinMsgSize
		if opt != nil {
			size = min(max(size, int(opt.UDPSize())), maxUDPReply)
		}
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	switch f := d.fault(name, qtype); {
	case f == Drop:
		return nil
	case f == ServFail:
		m.Rcode = dns.RcodeServerFailure
	case f == Refused:
		m.Rcode = dns.RcodeRefused
	case f == Lame:
		m.RecursionAvailable = false
		m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: d.ttl}, Ns: nameServer}}
	case f == Truncate && network == "udp":
		m.Authoritative, m.Truncated = true, true
	default:
		a := answering{d: d, dnssec: dnssec}
		a.run(name, qtype)
		m.Authoritative, m.Rcode, m.Answer, m.Ns = true, a.rcode, a.answer, a.authority
		m.Truncate(size)
	}
	return m
}

// unanswerable returns the response code for a message that asks nothing that this
// server answers, RcodeSuccess for all others.
func unanswerable(r *dns.Msg) int {
	switch {
	case r.Opcode != dns.OpcodeQuery:
		return dns.RcodeNotImplemented
	case len(r.Question) != 1:
		return dns.RcodeFormatError
	case r.Question[0].Qclass != dns.ClassINET || hasOddAsterisk(r.Question[0].Name):
		return dns.RcodeRefused
	}
	switch r.Question[0].Qtype {
	case dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB:
		return dns.RcodeNotImplemented
	}
	if opt := r.IsEdns0(); opt != nil && opt.Version() != 0 {
		return dns.RcodeBadVers
	}
	return dns.RcodeSuccess
}

// hasOddAsterisk says whether a label begins with an asterisk and goes on. No name
// here has one, and the library would sign its denial as that of a wildcard.
func hasOddAsterisk(name string) bool {
	for _, off := range dns.Split(name) {
		if label := name[off:]; label[0] == '*' && len(label) > 1 && label[1] != '.' {
			return true
		}
	}
	return false
}
