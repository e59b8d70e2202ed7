package world

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
)

// The limits of a message's structure.
const (
	maxParts = 64
	maxDepth = 8
)

// parseMessage reads a message (RFC 5322, RFC 2045) into all but what the envelope
// knows. Text in other charsets than UTF-8 is left as it is.
func parseMessage(raw []byte) (Message, error) {
	parsed, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Message{}, fmt.Errorf("read a message: %w", err)
	}
	m := Message{Header: parsed.Header, Raw: raw, Subject: parsed.Header.Get("Subject")}
	if decoded, err := new(mime.WordDecoder).DecodeHeader(m.Subject); err == nil {
		m.Subject = decoded
	}
	parts := maxParts
	if err := m.readPart(textproto.MIMEHeader(parsed.Header), parsed.Body, &parts, maxDepth); err != nil {
		return Message{}, err
	}
	return m, nil
}

// readPart reads one part, and those below it, for the first text and the first
// HTML.
func (m *Message) readPart(header textproto.MIMEHeader, body io.Reader, parts *int, depth int) error {
	if *parts--; *parts < 0 || depth == 0 {
		return errors.New("read a message: too many parts")
	}
	kind := header.Get("Content-Type")
	if kind == "" {
		kind = "text/plain" // RFC 2045, Section 5.2
	}
	kind, params, err := mime.ParseMediaType(kind)
	if err != nil {
		return fmt.Errorf("read a Content-Type: %w", err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		return m.readParts(multipart.NewReader(body, params["boundary"]), parts, depth)
	}
	into := map[string]*string{"text/plain": &m.Text, "text/html": &m.HTML}[kind]
	if into == nil || *into != "" {
		return nil
	}
	text, err := io.ReadAll(decoded(header.Get("Content-Transfer-Encoding"), body))
	if err != nil {
		return fmt.Errorf("decode a part: %w", err)
	}
	*into = strings.ReplaceAll(string(text), "\r\n", "\n")
	return nil
}

func (m *Message) readParts(reader *multipart.Reader, parts *int, depth int) error {
	for {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a part: %w", err)
		}
		if err := m.readPart(part.Header, part, parts, depth-1); err != nil {
			return err
		}
	}
}

// decoded undoes a Content-Transfer-Encoding (RFC 2045, Section 6).
func decoded(encoding string, r io.Reader) io.Reader {
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	}
	return r
}
