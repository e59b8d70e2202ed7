package playground

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/world"
)

// The names of the playground in its world.
const (
	portalHost   = "portal.localhost"
	adminHost    = "admin.localhost"
	issuerDomain = "ca.playground.example"
	mailFrom     = "Telamon Playground <ca@playground.example>"
)

// joinWorld starts the world and makes the configuration validate in it: its DNS is
// the resolver, its web servers are reached at ports of their own on the loopback
// addresses, and its mail server takes the mail. The addresses are those of the last
// time if they are free, so that notes of them stay right.
func (p *playground) joinWorld() error {
	var err error
	if p.world, err = world.Start(p.lastAddresses()); err != nil {
		if p.world, err = world.Start(world.Config{}); err != nil {
			return err
		}
	}
	if p.cfg.Listen, err = p.settle(p.cfg.Listen); err != nil { // it is in links of mails
		return fmt.Errorf("address: %w", err)
	}
	v, m := &p.cfg.Validation, &p.cfg.Mail
	v.Resolver, v.DNSSEC, v.IssuerDomains = p.world.DNS.Addr(), false, []string{issuerDomain}
	v.AllowNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	v.HTTPPort, v.HTTPSPort = portOf(p.world.HTTP.Addr()), portOf(p.world.HTTP.TLSAddr())
	mail := netip.MustParseAddrPort(p.world.Mail.Addr())
	m.Host, m.Port, m.STARTTLS, m.From, m.Platform = mail.Addr().String(), int(mail.Port()), "none", mailFrom, "Telamon Playground"
	p.cfg.Names.Portal, p.cfg.Names.Admin = []string{portalHost}, []string{adminHost}
	return nil
}

func portOf(address string) uint16 { return netip.MustParseAddrPort(address).Port() }

// lastAddresses returns those of the world of the last start, none if there was none.
func (p *playground) lastAddresses() world.Config {
	d, err := ReadDescription(p.path(descriptionFile))
	if err != nil {
		return world.Config{}
	}
	cfg := world.Config{DNSAddr: d.DNSAddr}
	if u, err := url.Parse(d.MailboxURL); err == nil {
		cfg.ControlAddr = u.Host
	}
	return cfg
}

// describeWorld sets what the description says of the world and the portal.
func (p *playground) describeWorld(d *Description, server *app.Server) {
	_, port, err := net.SplitHostPort(reachable(server.Addr))
	if err == nil {
		d.PortalURL = "https://" + net.JoinHostPort(portalHost, port)
		d.AdminURL = "https://" + net.JoinHostPort(adminHost, port)
	}
	d.DNSAddr, d.DNSControlURL, d.MailboxURL = p.world.DNS.Addr(), p.world.DNSControlURL(), p.world.MailboxURL()
	d.HTTPControlURL = strings.TrimSuffix(p.world.ControlURL(), "/") + "/http"
	d.IssuerDomains = p.cfg.Validation.IssuerDomains
}
