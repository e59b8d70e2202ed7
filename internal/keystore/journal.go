package keystore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"os"
	"sync"
	"time"

	"github.com/telamon-ca/telamon"
)

// A Record says what a key was about to sign. It is written before the signature
// is made, so that every signature has one; a record without a certificate in the
// ledger is a request that failed after it.
type Record struct {
	At     time.Time // milliseconds
	Serial telamon.Serial
	Hash   [32]byte // SHA-256 of the tbsCertificate
}

// recordSize is the time, the serial, the hash and a CRC-32C of them.
const recordSize = 8 + 16 + 32 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r *Record) marshal() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, recordSize), uint64(r.At.UnixMilli()))
	b = append(append(b, r.Serial[:]...), r.Hash[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

var errRecord = errors.New("a journal record is damaged")

func parseRecord(b []byte) (Record, error) {
	if len(b) != recordSize || binary.BigEndian.Uint32(b[recordSize-4:]) != crc32.Checksum(b[:recordSize-4], castagnoli) {
		return Record{}, errRecord
	}
	return Record{
		At:     time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC(),
		Serial: telamon.Serial(b[8:24]), Hash: [32]byte(b[24:56]),
	}, nil
}

// journal is a key's append-only file of records. It is not synced for each
// record: a record that a power failure takes is one whose certificate may be in
// the ledger, and reconciling the two finds it.
type journal struct {
	mu   sync.Mutex
	file *os.File
	last Record
	torn bool // a write failed, and may have left a part of its record
}

// openJournal opens or makes a journal. A torn record at its end, which a crash or
// a full disk leaves, is cut off.
func openJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &journal{file: file}
	if err := j.recover(); err != nil {
		file.Close()
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	return j, nil
}

func (j *journal) recover() error {
	whole, err := j.cut()
	if err != nil || whole == 0 {
		return err
	}
	b := make([]byte, recordSize)
	if _, err := j.file.ReadAt(b, whole-recordSize); err != nil {
		return err
	}
	j.last, err = parseRecord(b)
	return err
}

// cut takes a torn record off the end, behind which none could be read, and
// returns the size of the whole ones.
func (j *journal) cut() (whole int64, err error) {
	size, err := j.file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	whole = size - size%recordSize
	if whole != size {
		err = j.file.Truncate(whole)
	}
	return whole, err
}

func (j *journal) append(r Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.torn {
		if _, err := j.cut(); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		j.torn = false
	}
	if _, err := j.file.Write(r.marshal()); err != nil {
		j.torn = true
		return fmt.Errorf("journal: %w", err)
	}
	j.last = r
	return nil
}

// lastTime returns when the last record was written, in Unix milliseconds, zero
// if there is none.
func (j *journal) lastTime() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.last.At.IsZero() {
		return 0
	}
	return j.last.At.UnixMilli()
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.file.Sync(), j.file.Close())
}

// ReadJournal yields the records of a key's signatures, oldest first. A damaged
// record ends it with an error.
func (ks *Keystore) ReadJournal(name string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		file, err := os.Open(ks.journalPath(name))
		if err != nil {
			yield(Record{}, fmt.Errorf("read journal of %s: %w", name, err))
			return
		}
		defer file.Close()
		b := make([]byte, recordSize)
		for {
			if _, err := io.ReadFull(file, b); err == io.EOF {
				return
			} else if err != nil {
				yield(Record{}, fmt.Errorf("read journal of %s: %w", name, err))
				return
			}
			r, err := parseRecord(b)
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}
