package signer

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// protocol is the name and version of the protocol, by which the TLS handshake
// refuses an end that speaks another one (RFC 7301).
const protocol = "telamon-signer/1"

// A message is a frame that holds a header as JSON, any number of frames of data,
// and a frame that ends it: without that one it is not complete. A frame is one
// octet that says its kind, four of length, and so many of content.
const (
	frameHeader = 'H'
	frameData   = 'D'
	frameEnd    = 'E' // the message is complete
	frameFail   = 'F' // it never will be: what was to follow could not be read; the content says why, as a response
)

// The largest content of a frame, and the largest body of a message. The largest
// tbsCertificate is bounded by the bodies of requests; a CRL of a million entries
// has some forty megabytes.
const (
	maxFrame  = 64 << 10
	maxBody   = 4 << 20
	maxStream = 4 << 30
)

var (
	errFrame  = errors.New("the frame is not one of this protocol")
	errHeader = errors.New("the header cannot be read")
	errLength = errors.New("the message is too long")
)

// writeMessage writes a whole message and flushes it. The content, nil for none,
// writes the body; its error is told to the other end and returned. Progress is
// called before each frame.
func writeMessage(w *bufio.Writer, header any, content func(io.Writer) error, progress func() error) error {
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	f := &frameWriter{w: w, progress: progress}
	if f.frame(frameHeader, text); content != nil && f.err == nil {
		err = content(f)
		f.send()
	}
	if err != nil && f.err == nil {
		reason, _ := json.Marshal(respond(err)) // texts alone
		f.frame(frameFail, reason)
	} else {
		f.frame(frameEnd, nil)
	}
	if f.err == nil {
		f.err = w.Flush()
	}
	if f.err != nil {
		return f.err
	}
	if err != nil {
		return &bodyError{err}
	}
	return nil
}

// A bodyError is one of what gives a message's body, not of the connection.
type bodyError struct{ cause error }

func (e *bodyError) Error() string { return e.cause.Error() }

func (e *bodyError) Unwrap() error { return e.cause }

// frameWriter writes a message's body as frames of data.
type frameWriter struct {
	w        *bufio.Writer
	progress func() error
	data     []byte // of the next frame
	err      error  // of the connection
}

// Write implements io.Writer.
func (f *frameWriter) Write(p []byte) (int, error) {
	for n := 0; n < len(p) && f.err == nil; {
		part := p[n:min(len(p), n+maxFrame-len(f.data))]
		f.data, n = append(f.data, part...), n+len(part)
		if len(f.data) == maxFrame {
			f.send()
		}
	}
	if f.err != nil {
		return 0, f.err
	}
	return len(p), nil
}

// send writes the data that has come as a frame.
func (f *frameWriter) send() {
	if len(f.data) > 0 {
		f.frame(frameData, f.data)
		f.data = f.data[:0]
	}
}

func (f *frameWriter) frame(kind byte, content []byte) {
	if f.err == nil {
		f.err = f.progress()
	}
	if f.err == nil {
		f.err = writeFrame(f.w, kind, content)
	}
}

func writeFrame(w *bufio.Writer, kind byte, content []byte) error {
	if len(content) > maxFrame {
		return errLength
	}
	var start [5]byte
	start[0] = kind
	binary.BigEndian.PutUint32(start[1:], uint32(len(content)))
	if _, err := w.Write(start[:]); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

// readFrame reads one frame. The content is valid until the buffer is used again.
func readFrame(r *bufio.Reader, buffer []byte) (kind byte, content []byte, err error) {
	var start [5]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(start[1:])
	switch kind = start[0]; {
	case kind != frameHeader && kind != frameData && kind != frameEnd && kind != frameFail, length > maxFrame,
		kind == frameEnd && length != 0, kind != frameEnd && length == 0:
		return 0, nil, errFrame
	}
	content = buffer[:length]
	if _, err := io.ReadFull(r, content); err != nil {
		return 0, nil, noEOF(err)
	}
	return kind, content, nil
}

// noEOF turns the end of a stream, where more must follow, into an error.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readHeader reads a message's first frame into header, a pointer to a struct. It
// returns io.EOF if the stream ends before it. An unknown field is an error: the
// ends would not mean the same. The buffer has room for a frame.
func readHeader(r *bufio.Reader, buffer []byte, header any) error {
	kind, content, err := readFrame(r, buffer)
	if err != nil {
		return err
	}
	if kind != frameHeader {
		return errFrame
	}
	return decodeHeader(content, header)
}

// body reads the frames of data of a message as one stream, which ends, with
// io.EOF, where the message does.
type body struct {
	r        *bufio.Reader
	progress func() error // called before each frame; moves the deadline on
	left     int64        // octets that may still come
	buffer   []byte
	rest     []byte // of the frame that was read
	end      error
}

// newBody reads the frames by a buffer that has room for one.
func newBody(r *bufio.Reader, buffer []byte, limit int64, progress func() error) *body {
	return &body{r: r, left: limit, buffer: buffer, progress: progress}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if b.end != nil {
			return 0, b.end
		}
		b.end = b.next()
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *body) next() error {
	if err := b.progress(); err != nil {
		return err
	}
	kind, content, err := readFrame(b.r, b.buffer)
	switch {
	case err != nil:
		return noEOF(err)
	case kind == frameEnd:
		return io.EOF
	case kind == frameFail:
		var failed response
		if err := decodeHeader(content, &failed); err != nil || failed.Failure == "" {
			return errFrame
		}
		return failed.error()
	case kind != frameData:
		return errFrame
	}
	if b.left -= int64(len(content)); b.left < 0 {
		return errLength
	}
	b.rest = content
	return nil
}

// drain reads what is left of the message. That the other end could not give it
// whole leaves the connection usable.
func (b *body) drain() error {
	_, err := io.Copy(io.Discard, b)
	if _, ok := errors.AsType[*remoteError](err); ok {
		return nil
	}
	return err
}

// whole reads all of the message's body.
func (b *body) whole() ([]byte, error) {
	content, err := io.ReadAll(b)
	if err != nil {
		return nil, fmt.Errorf("read the message: %w", err)
	}
	return content, nil
}
