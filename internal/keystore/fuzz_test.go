package keystore

import (
	"bytes"
	"testing"
)

func FuzzParseRecord(f *testing.F) {
	r := Record{}
	f.Add(r.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err == nil && string(r.Marshal()) != string(b) {
			t.Errorf("record %x is read and written as %x", b, r.Marshal())
		}
	})
}

// FuzzOpenBytes holds that a file that opens is the one that was sealed. The key
// is fixed, since each worker of the fuzzer makes its own of what is random.
func FuzzOpenBytes(f *testing.F) {
	kek := KEK{bytes.Repeat([]byte{7}, kekLength)}
	sealed, err := sealBytes(kek, "name", []byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := openBytes(kek, "name", b)
		if err == nil && string(plain) != "secret" {
			t.Errorf("%x opens as %x", b, plain)
		}
	})
}
