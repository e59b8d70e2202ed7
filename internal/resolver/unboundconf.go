package resolver

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/miekg/dns"
)

// An unboundFile is a configuration that was checked: nothing in it can be taken for
// anything but a value.
type unboundFile struct {
	dir     string // absolute
	anchors []*dns.DS
	stubs   []stub
	forward []netip.AddrPort
	cache   int // MiB
	maxTTL  int // seconds
}

type stub struct {
	zone    string // canonical
	address netip.AddrPort
}

// check reads a configuration.
func (cfg UnboundConfig) check() (*unboundFile, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil || cfg.Dir == "" || strings.ContainsAny(dir, "\"\r\n") {
		return nil, errors.Join(fmt.Errorf("not a directory for unbound: %q", cfg.Dir), err)
	}
	f := &unboundFile{dir: dir, cache: cmp.Or(cfg.CacheMiB, 4), maxTTL: int(cmp.Or(cfg.MaxTTL, time.Minute) / time.Second)}
	if f.cache < 1 || f.maxTTL < 0 {
		return nil, errors.New("the size or the time of the cache is negative")
	}
	anchors := cfg.TrustAnchors
	if len(anchors) == 0 {
		anchors = []string{RootKSK2017, RootKSK2024}
	}
	for _, text := range anchors {
		rr, err := dns.NewRR(text)
		ds, ok := rr.(*dns.DS)
		if err != nil || !ok {
			return nil, errors.Join(fmt.Errorf("a trust anchor that is not a DS record: %q", text), err)
		}
		f.anchors = append(f.anchors, ds)
	}
	for _, s := range cfg.Stubs {
		zone := dns.CanonicalName(s.Zone)
		if _, ok := dns.IsDomainName(zone); !ok || s.Zone == "" || strings.ContainsFunc(zone, notInName) {
			return nil, fmt.Errorf("not the name of a zone: %q", s.Zone)
		}
		address, err := netip.ParseAddrPort(s.Address)
		if err != nil {
			return nil, fmt.Errorf("the address of zone %s: %w", zone, err)
		}
		f.stubs = append(f.stubs, stub{zone, address})
	}
	for _, text := range cfg.Forward {
		address, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, fmt.Errorf("the address of a resolver: %w", err)
		}
		f.forward = append(f.forward, address)
	}
	return f, nil
}

// notInName says that a character does not stand in names of zones.
func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
}

// unboundTemplate is the configuration: no file but this one is read, and nothing is
// written. There is no switch that turns validation off, and no zone without it (BR
// 4.2.2.2). Servers that do not answer are given up early, and tried again after 15 s.
var unboundTemplate = template.Must(template.New("unbound.conf").Parse(`# Generated at each start; changes are lost.
server:
    directory: "{{.Dir}}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    log-time-ascii: yes
    verbosity: 0
    do-daemonize: no
    num-threads: 1
    interface: 127.0.0.1@{{.Port}}
    access-control: 0.0.0.0/0 refuse
    access-control: ::0/0 refuse
    access-control: 127.0.0.0/8 allow
    do-not-query-localhost: {{if .Localhost}}no{{else}}yes{{end}}
    module-config: "validator iterator"
    val-permissive-mode: no
    val-log-level: 1
    ede: yes
    qname-minimisation: yes
    harden-glue: yes
    harden-dnssec-stripped: yes
    harden-below-nxdomain: yes
    harden-large-queries: yes
    harden-short-bufsize: yes
    hide-identity: yes
    hide-version: yes
    edns-buffer-size: 1232
    serve-expired: no
    prefetch: no
    aggressive-nsec: no
    msg-cache-size: {{.Cache}}m
    rrset-cache-size: {{.Cache}}m
    key-cache-size: {{.Cache}}m
    neg-cache-size: 1m
    msg-cache-slabs: 1
    rrset-cache-slabs: 1
    infra-cache-slabs: 1
    key-cache-slabs: 1
    cache-max-ttl: {{.MaxTTL}}
    cache-max-negative-ttl: 5
    val-bogus-ttl: 5
    outbound-msg-retry: 2
    infra-cache-max-rtt: 1000
    infra-host-ttl: 15
    infra-keep-probing: yes
    outgoing-range: 512
    num-queries-per-thread: 512
{{- range .Local}}
    local-zone: "{{.}}" nodefault
{{- end}}
{{- range .Anchors}}
    trust-anchor: "{{.}}"
{{- end}}
remote-control:
    control-enable: no
{{- range .Stubs}}
stub-zone:
    name: "{{.Zone}}"
    stub-addr: {{.Address}}
    stub-no-cache: no
{{- end}}
{{- if .Forward}}
forward-zone:
    name: "."
{{- range .Forward}}
    forward-addr: {{.}}
{{- end}}
{{- end}}
`))

// render returns the file for a port.
func (c *unboundFile) render(port uint16) []byte {
	type zone struct{ Zone, Address string }
	data := struct {
		Dir            string
		Port           uint16
		Localhost      bool
		Cache, MaxTTL  int
		Local, Anchors []string
		Stubs          []zone
		Forward        []string
	}{Dir: c.dir, Port: port, Cache: c.cache, MaxTTL: c.maxTTL}
	for _, ds := range c.anchors {
		data.Anchors = append(data.Anchors, strings.ReplaceAll(ds.String(), "\t", " "))
	}
	for _, s := range c.stubs {
		data.Localhost = data.Localhost || s.address.Addr().Unmap().IsLoopback()
		data.Stubs = append(data.Stubs, zone{s.zone, unboundAddress(s.address)})
		// Names such as test. do not exist by default: for zones at, above and below.
		for name := s.zone; name != "."; {
			data.Local = append(data.Local, name)
			off, end := dns.NextLabel(name, 0)
			if end {
				break
			}
			name = name[off:]
		}
	}
	for _, address := range c.forward {
		data.Localhost = data.Localhost || address.Addr().Unmap().IsLoopback()
		data.Forward = append(data.Forward, unboundAddress(address))
	}
	slices.Sort(data.Local)
	data.Local = slices.Compact(data.Local)
	var out strings.Builder
	if err := unboundTemplate.Execute(&out, data); err != nil {
		panic(fmt.Sprintf("resolver: the template of unbound.conf: %v", err)) // it takes no other data
	}
	return []byte(out.String())
}

// unboundAddress returns an address as unbound reads it: with @ before the port.
func unboundAddress(a netip.AddrPort) string {
	return fmt.Sprintf("%s@%d", a.Addr().Unmap(), a.Port())
}
