package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// A Target is a server and one credential for it.
type Target struct {
	URL        string // of the API, such as https://localhost:8443/v2
	APIKey     string
	APISecret  string
	CertFile   string // PEM of the client certificate
	KeyFile    string
	CAFile     string // PEM of what the server's certificate is verified by
	KeyType    string // of the keys that are certified: RSA or ECDSA
	KeyFormat  string // PKCS10 or PKCS8
	SignsKeys  bool   // send public_key_signature
	CommonName string // of the certificates that are requested
	StatusURL  string // of the plain listener, such as http://localhost:8080
	// DigiCertONE is a user of that API, nil if there is none.
	DigiCertONE *DigiCertONE
}

// requestTimeout ends a request that gets no answer.
const requestTimeout = 30 * time.Second

// tokenLife is how long a token is used before the next login.
const tokenLife = 9 * time.Minute

// client speaks HTTP/1.1 on one connection. It is not safe for concurrent use.
type client struct {
	target  *Target
	host    string
	address string      // that is dialled; "" is the host
	prefix  string      // the URL's path
	tls     *tls.Config // nil for plain HTTP

	conn    net.Conn
	status  *client // of the status listener, nil unless the operation asks there
	one     *client // of DigiCert ONE, nil likewise
	in      *bufio.Reader
	out     bytes.Buffer
	token   string
	tokenAt time.Time
}

func dial(ctx context.Context, target *Target) (*client, error) {
	u, err := url.Parse(target.URL)
	if err != nil || u.Scheme != "https" {
		return nil, fmt.Errorf("%q is no https URL", target.URL)
	}
	roots, err := os.ReadFile(target.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, fmt.Errorf("%s holds no certificate", target.CAFile)
	}
	cert, err := tls.LoadX509KeyPair(target.CertFile, target.KeyFile)
	if err != nil {
		return nil, err
	}
	c := &client{target: target, host: u.Host, prefix: u.Path, tls: &tls.Config{
		RootCAs: pool, Certificates: []tls.Certificate{cert}, ServerName: u.Hostname(), NextProtos: []string{"http/1.1"},
	}}
	return c, c.connect(ctx)
}

func (c *client) connect(ctx context.Context) error {
	c.close()
	var err error
	dialer, address := &net.Dialer{Timeout: requestTimeout}, cmp.Or(c.address, c.host)
	if c.tls == nil {
		c.conn, err = dialer.DialContext(ctx, "tcp", address)
	} else {
		c.conn, err = (&tls.Dialer{NetDialer: dialer, Config: c.tls}).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		c.conn = nil
		return err
	}
	c.in = bufio.NewReader(c.conn)
	return nil
}

// dialStatus connects to the status listener.
func (c *client) dialStatus(ctx context.Context) error {
	u, err := url.Parse(c.target.StatusURL)
	if err != nil || u.Scheme != "http" {
		return fmt.Errorf("%q is no http URL", c.target.StatusURL)
	}
	c.status = &client{target: c.target, host: u.Host, prefix: u.Path}
	return c.status.connect(ctx)
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// closeAll closes the connections to all listeners and faces.
func (c *client) closeAll() {
	for _, one := range []*client{c, c.status, c.one} {
		if one != nil {
			one.close()
		}
	}
}

// response is an answer whose body was read.
type response struct {
	status   int
	location string
	total    string
	body     []byte
}

// do sends a request and reads the answer. It connects again if the connection
// was closed, once; it logs in if there is no fresh token.
func (c *client) do(method, path string, body []byte) (*response, error) {
	if time.Since(c.tokenAt) > tokenLife {
		if err := c.login(); err != nil {
			return nil, err
		}
	}
	return c.send(method, path, body, c.token)
}

func (c *client) send(method, path string, body []byte, token string) (*response, error) {
	c.out.Reset()
	fmt.Fprintf(&c.out, "%s %s%s HTTP/1.1\r\nHost: %s\r\n", method, c.prefix, path, c.host)
	if token != "" {
		fmt.Fprintf(&c.out, "Authorization: Bearer %s\r\n", token)
	}
	if body != nil {
		fmt.Fprintf(&c.out, "Content-Type: application/json;charset=utf-8\r\nContent-Length: %d\r\n", len(body))
	}
	c.out.WriteString("\r\n")
	c.out.Write(body)
	r, err := c.exchange(c.out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return r, nil
}

// exchange sends a whole request and reads the answer. After an error the next one is
// sent on a new connection.
func (c *client) exchange(request []byte) (*response, error) {
	if c.conn == nil {
		if err := c.connect(context.Background()); err != nil {
			return nil, err
		}
	}
	r, err := c.roundTrip(request)
	if err != nil {
		c.close()
	}
	return r, err
}

func (c *client) roundTrip(request []byte) (*response, error) {
	if err := c.conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if r.Close {
		c.close()
	}
	return &response{r.StatusCode, r.Header.Get("Location"), r.Header.Get("Total-Count"), body}, nil
}

// login gets a token.
func (c *client) login() error {
	body, err := json.Marshal(map[string]string{"api_key": c.target.APIKey, "api_secret": c.target.APISecret})
	if err != nil {
		return err
	}
	r, err := c.send(http.MethodPost, "/login", body, "")
	if err != nil {
		return err
	}
	if err := r.expect(http.StatusOK); err != nil {
		return fmt.Errorf("login: %w", err)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(r.body, &answer); err != nil {
		return fmt.Errorf("login: %w", err)
	}
	if answer.AccessToken == "" {
		return errors.New("login: no access_token in the answer")
	}
	c.token, c.tokenAt = answer.AccessToken, time.Now()
	return nil
}

// expect returns an error that shows the answer unless it has the status.
func (r *response) expect(status int) error {
	if r.status == status {
		return nil
	}
	return fmt.Errorf("status %d, want %d: %.300s", r.status, status, r.body)
}
