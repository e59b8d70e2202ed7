package crl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// spoolMemory is how many octets a spool keeps before it writes to a file, and how many
// it writes at a time.
const spoolMemory = 1 << 20

// A spool keeps what is written to it, to be read again and again.
type spool struct {
	dir    string
	size   int64        // of all that was written
	buffer bytes.Buffer // what is not in the file
	file   *os.File     // nil while everything fits the buffer
}

func (s *spool) write(p []byte) error {
	if s.buffer.Len()+len(p) > spoolMemory {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.size += int64(len(p))
	s.buffer.Write(p) // does not fail
	return nil
}

// spill moves the buffer to the file.
func (s *spool) spill() error {
	if s.file == nil {
		file, err := os.CreateTemp(s.dir, "telamon-crl-")
		if err != nil {
			return fmt.Errorf("make a file for the entries: %w", err)
		}
		s.file = file
	}
	if _, err := s.buffer.WriteTo(s.file); err != nil {
		return fmt.Errorf("spool entries: %w", err)
	}
	return nil
}

// flush ends the writing.
func (s *spool) flush() error {
	if s.file == nil {
		return nil
	}
	return s.spill()
}

// reader reads everything from the beginning.
func (s *spool) reader() io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.buffer.Bytes())
	}
	return io.NewSectionReader(s.file, 0, s.size)
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.file.Close(), os.Remove(s.file.Name()))
	s.file = nil
	return err
}
