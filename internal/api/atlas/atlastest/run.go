package atlastest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// patience is how long a server may take for one answer.
const patience = 20 * time.Second

// runner is the state of one script on one target.
type runner struct {
	target *Target
	vars   *vars
	cert   *tls.Certificate // sent in the handshake, nil for none
	conn   *tls.Conn        // nil: connect before the next request
	in     *bufio.Reader
	repeat int // of the next exchange
	last   *answer
}

// answer is a response as it came.
type answer struct {
	status int
	header [][2]string // in order, names as they were spelled
	body   []byte
	closed bool
}

// run runs a script to its end or first failure.
func run(s *script, target *Target) error {
	r := &runner{target: target, repeat: 1, vars: &vars{text: map[string]string{"host": target.ServerName, "nothing": "", "blank": " "}, now: target.Now}}
	defer r.disconnect()
	for _, step := range s.steps {
		if err := r.step(step); err != nil {
			return fmt.Errorf("%s:%d: %w", s.name, step.line, err)
		}
	}
	return nil
}

func (r *runner) step(s step) error {
	if s.exchange == nil {
		return r.direct(s.directive)
	}
	for range r.repeat {
		if err := r.exchange(s.exchange); err != nil {
			return err
		}
	}
	r.repeat = 1
	return nil
}

// direct carries out a directive.
func (r *runner) direct(words []string) error {
	switch words[0] {
	case "use":
		return r.use(words[1], strings.Join(words[2:], " "))
	case "key":
		return setKey(r.vars.text, words[1])
	case "advance":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			return err
		}
		if r.target.Advance == nil {
			return errors.New("the target's clock cannot be moved")
		}
		r.target.Advance(d)
		return nil
	case "repeat":
		n, err := strconv.Atoi(words[1])
		if err != nil || n < 1 {
			return fmt.Errorf("cannot repeat %q times", words[1])
		}
		r.repeat = n
		return nil
	case "reconnect":
		r.disconnect()
		return nil
	case "set":
		return r.set(words[1], words[2])
	case "when":
		if words[3] != "set" {
			return fmt.Errorf("cannot read %q", words)
		}
		value, ok := r.vars.text[words[1]]
		if !ok {
			return fmt.Errorf("no value for %s", words[1])
		}
		if value != words[2] {
			return nil
		}
		return r.set(words[4], words[5])
	case "lower":
		r.vars.text[words[1]] = strings.ToLower(r.vars.text[words[1]])
		return nil
	case "trim":
		r.vars.text[words[1]] = strings.TrimLeft(r.vars.text[words[1]], "0")
		return nil
	case "publish", "withdraw", "fail", "approve":
		return r.outside(words)
	default: // chain; parseScript knows no other
		return verifyChain(r.vars.text, r.last)
	}
}

// set gives a variable a value, in which blanks are written as ${blank} and
// nothing as ${nothing}.
func (r *runner) set(name, text string) error {
	value, err := r.vars.expand(text, verbatim)
	r.vars.text[name] = value
	return err
}

// use makes the script a client that was configured with a credential.
func (r *runner) use(name, how string) error {
	c, ok := r.target.Credentials[name]
	if !ok {
		return fmt.Errorf("the target has no credential %q", name)
	}
	r.disconnect()
	r.vars.text["api_key"], r.vars.text["api_secret"] = c.Key, c.Secret
	r.cert = &c.Certificate
	switch other, borrowed := strings.CutPrefix(how, "with certificate of "); {
	case how == "":
	case how == "without certificate":
		r.cert = nil
	case borrowed:
		if c, ok = r.target.Credentials[other]; !ok {
			return fmt.Errorf("the target has no credential %q", other)
		}
		r.cert = &c.Certificate
	default:
		return fmt.Errorf("cannot use a credential %q", how)
	}
	if r.cert != nil && len(r.cert.Certificate) == 0 {
		r.cert = nil
	}
	if r.cert != nil {
		serial, err := serialOf(r.cert)
		if err != nil {
			return err
		}
		r.vars.text["client_serial"] = serial
	}
	return nil
}

func (r *runner) disconnect() {
	if r.conn != nil {
		r.conn.Close()
		r.conn = nil
	}
}

func (r *runner) connect() error {
	config := &tls.Config{
		ServerName: r.target.ServerName, RootCAs: r.target.Roots, NextProtos: []string{"http/1.1"}, Time: r.target.Now,
	}
	// Sent whatever issuers the server says it accepts, and the leaf alone, as
	// hvclient does.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if r.cert == nil {
			return &tls.Certificate{}, nil
		}
		return &tls.Certificate{Certificate: r.cert.Certificate[:1], PrivateKey: r.cert.PrivateKey}, nil
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", r.target.Addr, config)
	if err != nil {
		return err
	}
	r.conn, r.in = conn, bufio.NewReader(conn)
	return nil
}

// exchange sends a request and checks its answer.
func (r *runner) exchange(x *exchange) error {
	if r.conn == nil {
		if err := r.connect(); err != nil {
			return err
		}
	}
	if err := r.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	head, body, err := r.compose(x)
	if err != nil {
		return err
	}
	method, _, _ := strings.Cut(x.head[0], " ")
	a, err := r.send(method, head, body)
	if err != nil {
		r.disconnect()
		return fmt.Errorf("%s: %w", x.head[0], err)
	}
	r.last = a
	if a.closed {
		r.disconnect()
	}
	if a.status != x.status {
		return fmt.Errorf("%s: status %d, want %d: %.300s", x.head[0], a.status, x.status, a.body)
	}
	for _, c := range x.checks {
		if err := r.check(c, a); err != nil {
			return fmt.Errorf("%s, line %d: %w", x.head[0], c.line, err)
		}
	}
	return nil
}

func verbatim(s string) string { return s }

// compose returns the bytes of a request. ${length} in the head is the body's.
func (r *runner) compose(x *exchange) (head, body string, err error) {
	if body, err = r.vars.expand(x.body, verbatim); err != nil {
		return "", "", err
	}
	r.vars.text["length"] = strconv.Itoa(len(body))
	var b strings.Builder
	for _, line := range x.head {
		line, err := r.vars.expand(line, verbatim)
		if err != nil {
			return "", "", err
		}
		b.WriteString(line + "\r\n")
		if strings.EqualFold(line, "Transfer-Encoding: chunked") {
			body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		}
	}
	return b.String() + "\r\n", body, nil
}

// send writes a request and reads its answer. The body of a request that expects
// "100 Continue" is sent after that.
func (r *runner) send(method, head, body string) (*answer, error) {
	if !strings.Contains(strings.ToLower(head), "\r\nexpect: 100-continue\r\n") {
		if _, err := io.WriteString(r.conn, head+body); err != nil {
			return nil, err
		}
		return readAnswer(r.in, method)
	}
	if _, err := io.WriteString(r.conn, head); err != nil {
		return nil, err
	}
	a, err := readAnswer(r.in, method)
	if err != nil || a.status != http.StatusContinue {
		return a, err
	}
	if _, err := io.WriteString(r.conn, body); err != nil {
		return nil, err
	}
	return readAnswer(r.in, method)
}

// readAnswer reads one response, and keeps the spelling of its header names.
func readAnswer(in *bufio.Reader, method string) (*answer, error) {
	var head bytes.Buffer
	a := &answer{}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		head.WriteString(line)
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break
		}
		if name, value, ok := strings.Cut(line, ":"); ok {
			a.header = append(a.header, [2]string{name, strings.TrimSpace(value)})
		}
	}
	// Only the head is read by way of resp: its body is still in the connection.
	resp, err := http.ReadResponse(bufio.NewReader(&head), &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	a.status, a.closed = resp.StatusCode, resp.Close
	if method != http.MethodHead {
		a.body, err = readBody(in, resp)
	}
	return a, err
}

// readBody reads the body that the head of an answer announces.
func readBody(in *bufio.Reader, resp *http.Response) ([]byte, error) {
	switch {
	case resp.ContentLength >= 0:
		body := make([]byte, resp.ContentLength)
		_, err := io.ReadFull(in, body)
		return body, err
	case resp.Close:
		return io.ReadAll(in)
	}
	return nil, errors.New("the answer has neither a length nor an end")
}

// check holds one expectation against an answer, and keeps what its named groups
// match as variables.
func (r *runner) check(c check, a *answer) error {
	switch c.subject {
	case "no-header":
		for _, h := range a.header {
			if strings.EqualFold(h[0], c.name) {
				return fmt.Errorf("%s is %q, and should not be there", h[0], h[1])
			}
		}
		return nil
	case "header":
		var values []string
		for _, h := range a.header {
			if h[0] == c.name {
				values = append(values, h[1])
			}
		}
		if len(values) != 1 {
			return fmt.Errorf("%d headers are spelled %s, want 1: %v", len(values), c.name, a.header)
		}
		return r.compare(c, values)
	case "words":
		return checkWords(a.body, c.name, strings.Fields(c.want))
	case "json":
		values, err := lookUp(a.body, c.name)
		if err != nil {
			return fmt.Errorf("%w in %.300s", err, a.body)
		}
		return r.compare(c, values)
	default:
		return r.compare(c, []string{string(a.body)})
	}
}

// compare reports an error unless one of values is what c wants, or none is what it
// must not be.
func (r *runner) compare(c check, values []string) error {
	if !c.match {
		want, err := r.vars.expand(c.want, verbatim)
		if err != nil {
			return err
		}
		if slices.Contains(values, want) != c.other {
			return nil
		}
		return fmt.Errorf("%s %s is %.300q, want %q: %v", c.subject, c.name, values, want, !c.other)
	}
	want, err := r.vars.expand(c.want, regexp.QuoteMeta)
	if err != nil {
		return err
	}
	expression, err := regexp.Compile(want)
	if err != nil {
		return err
	}
	for _, value := range values {
		if m := expression.FindStringSubmatch(value); m != nil {
			for i, name := range expression.SubexpNames() {
				if name != "" {
					r.vars.text[name] = m[i]
				}
			}
			return nil
		}
	}
	return fmt.Errorf("%s %s is %.300q, which does not match %s", c.subject, c.name, values, want)
}
