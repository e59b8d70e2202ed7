//go:build linux

package trials

import (
	"bytes"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// socketName is what PostgreSQL calls its socket.
const socketName = ".s.PGSQL.5432"

// A proxy stands between PostgreSQL and its clients and cuts their connections.
type proxy struct {
	listener net.Listener
	upstream string
	wg       sync.WaitGroup

	mu    sync.Mutex
	pairs map[*pair]bool
	next  cut  // what happens to the next COMMIT
	held  bool // nothing is passed on any more
	cuts  int
}

// A pair is a client's connection and the server's.
type pair struct {
	client, server net.Conn
	muted          bool // the answer is not passed on; guarded by the proxy's mu
}

func (p *pair) close() {
	p.client.Close()
	p.server.Close()
}

// A cut is how a connection is lost.
type cut int

const (
	cutNone    cut = iota
	cutBefore      // COMMIT does not reach the server
	cutAt          // COMMIT reaches it, and the connection is lost at once
	cutAfter       // the server has committed, and its answer does not reach the client
	cutsByTime     // every connection, whatever it does
	cutKinds
)

var cutNames = [cutKinds]string{
	cutBefore: "COMMIT not delivered", cutAt: "cut as COMMIT was delivered", cutAfter: "answer to COMMIT not delivered", cutsByTime: "every connection cut",
}

// newProxy listens in a directory, as the server whose directory is given would.
func newProxy(t *testing.T, dir, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(dir, socketName))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, upstream: filepath.Join(server, socketName), pairs: map[*pair]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) close() {
	p.listener.Close()
	p.cutAll()
	p.wg.Wait()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", p.upstream)
		if err != nil {
			client.Close()
			continue
		}
		one := &pair{client: client, server: server}
		p.mu.Lock()
		p.pairs[one] = true
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(one, client, server, p.request) })
		p.wg.Go(func() { p.pass(one, server, client, p.answer) })
	}
}

// pass copies from one side to the other until allow refuses, or the pair is closed.
func (p *proxy) pass(one *pair, from, to net.Conn, allow func(*pair, []byte) bool) {
	defer one.close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && !allow(one, buffer[:n]) {
			break
		}
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			break
		}
	}
	p.mu.Lock()
	delete(p.pairs, one)
	p.mu.Unlock()
}

// request looks at what a client sends. A COMMIT is a simple query.
func (p *proxy) request(one *pair, text []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == cutNone || !bytes.Contains(text, []byte("commit\x00")) {
		return true
	}
	how := p.next
	p.next = cutNone
	p.cuts++
	switch how {
	case cutBefore:
		return false
	case cutAt:
		one.server.Write(text)
		return false
	default:
		one.muted = true
		return true
	}
}

// answer looks at what the server sends.
func (p *proxy) answer(one *pair, _ []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !one.muted && !p.held
}

// cutNext has the next COMMIT cut.
func (p *proxy) cutNext(how cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = how
}

// done returns how many COMMITs were cut.
func (p *proxy) done() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// cutAll closes every connection.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := range p.pairs {
		one.close()
	}
}

// hold loses whatever the server sends from now on, and the connections with it.
func (p *proxy) hold(held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = held
}

// anyCut picks a cut.
func anyCut(random *rand.Rand) cut { return cutBefore + cut(random.IntN(int(cutKinds-cutBefore))) }
