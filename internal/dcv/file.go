package dcv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/egress"
)

// filePath is where the file stands (BR 3.2.2.4.18). The token is not in it.
const filePath = "/.well-known/pki-validation/gsdv.txt"

// maxHeader is how many octets of a response's header are read.
const maxHeader = 16 << 10

// file is BR 3.2.2.4.18, and 3.2.2.5.1 for an IP address: a file on the claimed host
// itself. Redirects are not followed and nothing but 200 counts, which is stricter
// than the rule.
type file struct{ *Engine }

func (m file) validate(ctx context.Context, q Question) Finding {
	target, port, err := m.target(q)
	if err != nil {
		return notFound(telamon.Evidence{}, "%s", err)
	}
	evidence := telamon.Evidence{URL: target.String()}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if addr, err := netip.ParseAddrPort(info.Conn.RemoteAddr().String()); err == nil {
			evidence.Addresses = append(evidence.Addresses, addr.Addr().Unmap().String())
		}
	}})
	status, body, err := m.fetch(ctx, target, q.ADN, port)
	switch {
	case err != nil:
		return notFound(evidence, "%s", fetchProblem(target, q.ADN, err))
	case status != http.StatusOK:
		return notFound(evidence, "%s: status code of the request is not 200: %d", target, status)
	case len(body) > MaxFile:
		return notFound(evidence, "%s: the file is longer than %d octets", target, MaxFile)
	case !slices.Contains(q.Values, strings.Trim(string(body), " \t\r\n")):
		return notFound(evidence, "%s: the file does not hold the token", target)
	}
	return Finding{Found: true, Coverage: telamon.CoversExact, Evidence: evidence}
}

// target returns the URL of the file and the port that it is fetched from.
func (m file) target(q Question) (*url.URL, uint16, error) {
	if q.ADN != q.Name {
		return nil, 0, errors.New("a file shows control of its own host alone")
	}
	host := q.ADN
	if addr, err := netip.ParseAddr(q.ADN); err == nil && addr.Is6() {
		host = "[" + host + "]"
	}
	target := &url.URL{Scheme: q.Scheme, Host: host, Path: filePath}
	switch q.Scheme {
	case "http":
		return target, m.cfg.HTTPPort, nil
	case "https":
		return target, m.cfg.HTTPSPort, nil
	}
	return nil, 0, errors.New("the scheme is neither http nor https")
}

// fetch returns the status and the first octets of the body, one more than MaxFile if
// there are more. Nothing is reused from another fetch.
func (m file) fetch(ctx context.Context, target *url.URL, host string, port uint16) (int, []byte, error) {
	transport := &http.Transport{
		Proxy: nil, // BR 3.2.2.9: the view is that of this place
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return m.cfg.Dial(ctx, network, net.JoinHostPort(host, strconv.Itoa(int(port))))
		},
		// The certificate of the target is what the applicant is about to get: the
		// token shows control, whoever the connection says it is (BR 3.2.2.4.18).
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true, ServerName: serverName(host), MinVersion: tls.VersionTLS10},
		DisableKeepAlives:  true,
		DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("User-Agent", "telamon-dcv")
	req.Header.Set("Accept", "text/plain, */*")
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxFile+1))
	return resp.StatusCode, body, err
}

// serverName is the name for a TLS handshake, which an IP address has not (RFC 6066,
// Section 3).
func serverName(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	return host
}

// fetchProblem is what the applicant is told of a fetch that failed.
func fetchProblem(target *url.URL, host string, err error) string {
	if denied, ok := errors.AsType[*egress.DeniedError](err); ok {
		return fmt.Sprintf("%s has the address %s, which is not allowed.", host, denied.Addr)
	}
	if errors.Is(err, egress.ErrNoAddress) {
		return fmt.Sprintf("%s has no address.", host)
	}
	if failed, ok := errors.AsType[*egress.LookupError](err); ok {
		return lookupProblem(host, failed.Err)
	}
	reason := "the connection failed"
	if network, ok := errors.AsType[net.Error](err); ok && network.Timeout() {
		reason = "no answer in time"
	}
	return fmt.Sprintf("%s: %s", target, reason)
}
