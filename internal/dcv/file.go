package dcv

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/egress"
)

// FilePath is where the file stands (BR 3.2.2.4.18). The token is not in it.
const FilePath = "/.well-known/pki-validation/gsdv.txt"

// What is read of a host: the octets of its header, with interim responses, and those
// that carry the body, which in chunks are several for each of it.
const (
	maxHeader = 16 << 10
	maxBody   = 16 * MaxFile
)

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
	conn, err := m.cfg.Dial(ctx, "tcp", net.JoinHostPort(q.ADN, strconv.Itoa(int(port))))
	if err != nil {
		return notFound(evidence, "%s", fetchProblem(ctx, target, q.ADN, err))
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if addr, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		evidence.Addresses = []string{addr.Addr().Unmap().String()}
	}
	status, body, err := fetch(ctx, conn, target, q.ADN)
	switch {
	case err != nil:
		return notFound(evidence, "%s", fetchProblem(ctx, target, q.ADN, err))
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
	target := &url.URL{Scheme: q.Scheme, Host: host, Path: FilePath}
	switch q.Scheme {
	case "http":
		return target, m.cfg.HTTPPort, nil
	case "https":
		return target, m.cfg.HTTPSPort, nil
	}
	return nil, 0, errors.New("the scheme is neither http nor https")
}

// fetch asks for the target over a connection to its host, which the caller closes
// when ctx ends. It returns the status and the first octets of the body, one more than
// MaxFile if there are more.
//
// It is no http.Client: that would read where a redirect leads, and log what a host says
// before it is asked.
func fetch(ctx context.Context, conn net.Conn, target *url.URL, host string) (int, []byte, error) {
	if target.Scheme == "https" {
		// The certificate of the target is what the applicant is about to get: the
		// token shows control, whoever the connection says it is (BR 3.2.2.4.18).
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: serverName(host), MinVersion: tls.VersionTLS10})
		if err := secure.HandshakeContext(ctx); err != nil {
			return 0, nil, err
		}
		conn = secure
	}
	req := &http.Request{Method: http.MethodGet, URL: target, Close: true, Header: http.Header{
		"User-Agent": {"telamon-dcv"}, "Accept": {"text/plain, */*"},
	}}
	if err := req.Write(conn); err != nil {
		return 0, nil, err
	}
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	resp, err := readResponse(bufio.NewReader(limited), req)
	if err != nil {
		return 0, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, nil, nil
	}
	limited.N = maxBody
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxFile+1))
	return resp.StatusCode, body, err
}

// readResponse reads a response, after any that are interim (RFC 9110, Section 15.2).
func readResponse(r *bufio.Reader, req *http.Request) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r, req)
		if err != nil || resp.StatusCode/100 != 1 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
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
func fetchProblem(ctx context.Context, target *url.URL, host string, err error) string {
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
	if network, ok := errors.AsType[net.Error](err); ctx.Err() != nil || ok && network.Timeout() {
		reason = "no answer in time"
	}
	return fmt.Sprintf("%s: %s", target, reason)
}
