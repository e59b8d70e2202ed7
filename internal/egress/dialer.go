package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// MaxAddresses is how many addresses of one host are looked at, whatever its owner
// publishes.
const MaxAddresses = 16

// ErrNoAddress is in the chain of the error for a host without addresses.
var ErrNoAddress = errors.New("the host has no address")

// errNoLookup is the cause where a name is to be dialled without a Lookup.
var errNoLookup = errors.New("only IP addresses are dialled here")

// A LookupError is a host whose addresses are not known: the lookup failed, or
// found none.
type LookupError struct {
	Host string
	Err  error // the lookup's own, or ErrNoAddress
}

// Error returns the error with the host.
func (e *LookupError) Error() string { return fmt.Sprintf("look up %s: %v", e.Host, e.Err) }

// Unwrap returns the cause.
func (e *LookupError) Unwrap() error { return e.Err }

// A Dialer connects to the addresses that its policy admits. It is safe for
// concurrent use; its fields must not change after its first use.
type Dialer struct {
	Policy Policy
	// Lookup returns the addresses of a host in the order in which they are to be
	// tried. It is called once for a connection, and not at all for an IP address.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Timeout bounds DialContext and Addresses as a whole; 0 leaves that to the
	// context.
	Timeout time.Duration
	// Ports are the ports that may be asked for, each with the port that is dialled
	// for it, such as 80 for 80. Nil admits every port as it is.
	Ports map[uint16]uint16
}

// Addresses returns the addresses of host that the policy admits, without
// duplicates and in the order of the lookup. It reports the first refusal as a
// *[DeniedError] if none is admitted, and a *[LookupError] if there is none at all.
func (d *Dialer) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	found, err := d.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	var admitted []netip.Addr
	var denied error
	for _, addr := range found {
		if err := d.Policy.Check(addr); err != nil {
			if refusal, ok := errors.AsType[*DeniedError](err); ok && denied == nil {
				denied = &DeniedError{Host: host, Addr: refusal.Addr, Why: refusal.Why}
			}
			continue
		}
		if plain := addr.Unmap(); !slices.Contains(admitted, plain) {
			admitted = append(admitted, plain)
		}
	}
	if len(admitted) == 0 {
		return nil, denied
	}
	return admitted, nil
}

// resolve returns the addresses of host, which may be an IP address itself: at
// least one.
func (d *Dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	if d.Lookup == nil {
		return nil, &LookupError{Host: host, Err: errNoLookup}
	}
	found, err := d.Lookup(ctx, host)
	if err != nil {
		return nil, &LookupError{Host: host, Err: err}
	}
	if len(found) == 0 {
		return nil, &LookupError{Host: host, Err: ErrNoAddress}
	}
	return found[:min(len(found), MaxAddresses)], nil
}

func (d *Dialer) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.Timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d.Timeout)
}

// DialContext connects to a host and port by TCP, and fits net/http.Transport. It
// looks the host up once, checks every address, and dials only those that the
// policy admits, one after the other, until one answers; each gets its share of the
// time that is left. The only network is "tcp". It reports a *[DeniedError] if the
// policy or Ports forbid the connection, and a *[LookupError] as Addresses does.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	if network != "tcp" {
		return nil, fmt.Errorf("dial %s: the network %q is not TCP", address, network)
	}
	host, port, err := d.split(address)
	if err != nil {
		return nil, err
	}
	addrs, err := d.Addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, addr := range addrs {
		conn, err := d.dial(ctx, netip.AddrPortFrom(addr, port), len(addrs)-i)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("dial %s: %w", host, errors.Join(errs...))
}

// split returns the host of address and the port to dial for its port.
func (d *Dialer) split(address string) (string, uint16, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("read an address: %w", err)
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || number == 0 {
		return "", 0, fmt.Errorf("read the port of %s: not a number between 1 and 65535", address)
	}
	port := uint16(number)
	if d.Ports == nil {
		return host, port, nil
	}
	mapped, ok := d.Ports[port]
	if !ok {
		return "", 0, &DeniedError{Host: host, Why: fmt.Sprintf("the port %d is not one of those that may be dialled", port)}
	}
	return host, mapped, nil
}

// dial connects to one address. left is how many addresses the rest of the time is
// for, this one included.
func (d *Dialer) dial(ctx context.Context, to netip.AddrPort, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	dialer := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error { return d.confirm(to, address) }}
	return dialer.DialContext(ctx, "tcp", to.String())
}

// confirm checks the address that a socket is about to connect to: it is the one
// that was chosen, and the policy admits it.
func (d *Dialer) confirm(chosen netip.AddrPort, address string) error {
	actual, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read the address of a socket: %w", err)
	}
	if actual = netip.AddrPortFrom(actual.Addr().Unmap(), actual.Port()); actual != chosen {
		return &DeniedError{Addr: actual.Addr(), Why: "is not the address that was chosen"}
	}
	return d.Policy.Check(actual.Addr())
}
