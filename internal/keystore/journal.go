package keystore

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/telamon-ca/telamon"
)

// A Record says what a key was about to sign. It is written before the signature
// is made, so that every signature has one; a record without a certificate in the
// ledger is a request that failed after it.
type Record struct {
	At     time.Time      // milliseconds
	Serial telamon.Serial // zero for what is no certificate
	// Hash is the SHA-256 of the tbsCertificate or tbsCertList, and for a key pair that of
	// the DER of the algorithm and the digest behind it.
	Hash [32]byte
}

// OfCertificate reports whether the record is of a certificate, and not of a CRL or of a
// hash that a key pair signed.
func (r Record) OfCertificate() bool { return r.Serial != telamon.Serial{} }

// RecordSize is that of the time, the serial, the hash and a CRC-32C of them, in octets.
const RecordSize = 8 + 16 + 32 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Marshal returns the record as journals have it, in RecordSize octets.
func (r *Record) Marshal() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, RecordSize), uint64(r.At.UnixMilli()))
	b = append(append(b, r.Serial[:]...), r.Hash[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

var errRecord = errors.New("a journal record is damaged")

// ParseRecord reads a record of a journal. It returns an error if the record is
// damaged.
func ParseRecord(b []byte) (Record, error) {
	if len(b) != RecordSize || binary.BigEndian.Uint32(b[RecordSize-4:]) != crc32.Checksum(b[:RecordSize-4], castagnoli) {
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
//
// Several processes may write to one journal: a server that starts while another
// drains, or replicas with one directory. Each holds an exclusive lock for as long as
// it writes or mends. So whoever has the lock and finds a torn record knows that
// nobody is still writing it.
type journal struct {
	mu   sync.Mutex
	file *os.File
	log  *slog.Logger
	last Record
	torn bool // the end may not be that of a whole record
}

// openJournal opens or makes a journal. Damaged records at its end, which a crash,
// a power failure or a full disk leaves, are cut off.
func openJournal(path string, log *slog.Logger) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &journal{file: file, log: log}
	if err := j.locked(j.mend); err != nil {
		file.Close()
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	return j, nil
}

// locked calls f while no other process writes to the journal.
func (j *journal) locked(f func() error) error {
	if err := lock(j.file, syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	err := f()
	if unlockErr := lock(j.file, syscall.LOCK_UN); unlockErr != nil {
		return errors.Join(err, fmt.Errorf("unlock: %w", unlockErr))
	}
	return err
}

func lock(file *os.File, how int) error {
	for {
		if err := syscall.Flock(int(file.Fd()), how); err != syscall.EINTR {
			return err
		}
	}
}

// mend takes out what is damaged behind the last whole record in its place. Whole
// records behind it that are out of their places move up into them; no whole record is
// cut off. It is called with the lock held. What a kill in it leaves, the next call
// mends, but a record that the kill cut in two is lost.
func (j *journal) mend() error {
	end, size, err := j.whole()
	if err != nil || end == size {
		return err
	}
	kept, err := j.displaced(end, size)
	if err != nil {
		return err
	}
	if len(kept) > 0 {
		if err := j.overwrite(kept, end); err != nil {
			return err
		}
	}
	whole := end + int64(len(kept))
	if err := j.file.Truncate(whole); err != nil {
		return err
	}
	j.log.Warn("cut damaged records off a journal", "file", j.file.Name(), "octets", size-whole,
		"moved_records", len(kept)/RecordSize, "last_record", j.last.At)
	return nil
}

// displaced returns the whole records between end and size, wherever they begin. The
// last one becomes last.
func (j *journal) displaced(end, size int64) ([]byte, error) {
	var kept []byte
	content := bufio.NewReader(io.NewSectionReader(j.file, end, size-end))
	for {
		b, err := content.Peek(RecordSize)
		if err == io.EOF {
			return kept, nil
		} else if err != nil {
			return nil, err
		}
		step := 1
		if r, err := ParseRecord(b); err == nil {
			kept, step, j.last = append(kept, b...), RecordSize, r
		}
		if _, err := content.Discard(step); err != nil {
			return nil, err
		}
	}
}

// overwrite writes records to their place, in front of where they were.
func (j *journal) overwrite(records []byte, at int64) error {
	file, err := os.OpenFile(j.file.Name(), os.O_WRONLY, 0) // a file to be appended to is not written anywhere else
	if err != nil {
		return err
	}
	_, err = file.WriteAt(records, at)
	return errors.Join(err, file.Sync(), file.Close())
}

// maxDamage is how much of a journal's end may be damaged. More is no power
// failure, and for somebody to look at. Zeros do not count: where a power failure
// comes between a file's growth and its content there may be many, and they say
// nothing.
const maxDamage = 64 << 10

// whole returns where the last whole record in its place ends, which becomes last, and
// the size of the file.
func (j *journal) whole() (end, size int64, err error) {
	info, err := j.file.Stat()
	if err != nil {
		return 0, 0, err
	}
	size = info.Size()
	b, damage := make([]byte, RecordSize), 0
	for end = size - size%RecordSize; end > 0; end -= RecordSize {
		if _, err := j.file.ReadAt(b, end-RecordSize); err != nil {
			return 0, 0, err
		}
		if r, err := ParseRecord(b); err == nil {
			j.last = r
			break
		}
		if !bytes.Equal(b, make([]byte, RecordSize)) {
			damage += RecordSize
		}
		if damage > maxDamage {
			return 0, 0, errRecord
		}
	}
	return end, size, nil
}

func (j *journal) append(r Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.locked(func() error { return j.write(r) }); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// write writes a record behind whole ones. What this process or another has left torn
// is mended first. It is called with the lock held.
func (j *journal) write(r Record) error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	if j.torn || info.Size()%RecordSize != 0 {
		if err := j.mend(); err != nil {
			return err
		}
		j.torn = false
	}
	if _, err := j.file.Write(r.Marshal()); err != nil {
		j.torn = true
		return err
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

// ReadJournal yields the records of a key's signatures, oldest first, also of a key
// that was destroyed. A damaged record ends it with an error, and so does, with
// ErrNoKey, a key that never was.
func (ks *Keystore) ReadJournal(name string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if !validName(name) {
			yield(Record{}, fmt.Errorf("read journal of %q: %w", name, ErrNoKey))
			return
		}
		file, err := os.Open(ks.journalPath(name))
		if isMissing(err) {
			err = ErrNoKey
		}
		if err != nil {
			yield(Record{}, fmt.Errorf("read journal of %s: %w", name, err))
			return
		}
		defer file.Close()
		content, b := bufio.NewReader(file), make([]byte, RecordSize)
		for {
			if _, err := io.ReadFull(content, b); err == io.EOF {
				return
			} else if err != nil {
				yield(Record{}, fmt.Errorf("read journal of %s: %w", name, err))
				return
			}
			r, err := ParseRecord(b)
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}
