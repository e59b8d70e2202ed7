package signer

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzMessage holds that octets from the other end are read as a message or refused,
// that nothing is read beyond the limits, and that what was read is what would be
// written.
func FuzzMessage(f *testing.F) {
	f.Add([]byte("H\x00\x00\x00\x16{\"operation\":\"health\"}E\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, octets []byte) {
		buffer := make([]byte, maxFrame)
		free := func() error { return nil }
		r := bufio.NewReader(bytes.NewReader(octets))
		var req request
		if err := readHeader(r, buffer, &req); err != nil {
			return
		}
		const limit = 1 << 10
		content, err := io.ReadAll(newBody(r, buffer, limit, free))
		if len(content) > limit {
			t.Fatalf("%d octets of a body are read, the limit is %d", len(content), limit)
		}
		if err != nil {
			return
		}
		var written bytes.Buffer
		write := func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		}
		if err := writeMessage(bufio.NewWriter(&written), &req, write, free); err != nil {
			t.Fatal(err)
		}
		var again request
		r = bufio.NewReader(&written)
		if err := readHeader(r, buffer, &again); err != nil || again != req {
			t.Errorf("%+v is written, and read as %+v: %v", req, again, err)
		}
		if got, err := newBody(r, buffer, limit, free).whole(); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%q is written, and read as %q: %v", content, got, err)
		}
	})
}

// FuzzResponse holds that any answer gives either a result or an error, and that
// every error is one of those that callers tell apart or none of them.
func FuzzResponse(f *testing.F) {
	f.Add([]byte(`{"failure":"purpose","text":"the key is retired"}`))
	f.Fuzz(func(t *testing.T, header []byte) {
		var reply response
		if decodeHeader(header, &reply) != nil {
			return
		}
		if reply.Key != nil {
			if key, err := reply.Key.parse("ca"); err == nil && key.Public == nil {
				t.Error("a key without a public half is read")
			}
		}
		err := reply.error()
		if (err == nil) != (reply.Failure == "") {
			t.Fatalf("the failure %q is the error %v", reply.Failure, err)
		}
		for _, c := range failures {
			if errors.Is(err, c.err) != (reply.Failure == c.name) {
				t.Errorf("the failure %q is taken for %v", reply.Failure, c.err)
			}
		}
	})
}
