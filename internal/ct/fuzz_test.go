package ct_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/ct"
)

// sample is a timestamp with every part.
func sample() *ct.SCT {
	return &ct.SCT{
		LogID: [32]byte{1, 2, 3}, At: time.UnixMilli(1800000000123).UTC(), Extensions: []byte{4}, Algorithm: 0x0403, Signature: []byte{5, 6},
	}
}

func FuzzParseList(f *testing.F) {
	one, err := ct.EncodeList([]*ct.SCT{sample()})
	must(f, err)
	two, err := ct.EncodeList([]*ct.SCT{sample(), {Algorithm: 0x0401}})
	must(f, err)
	for _, seed := range [][]byte{one, two, one[:len(one)-1], {0, 0}, {0, 2, 0, 0}, nil} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		scts, err := ct.ParseList(b)
		if err != nil {
			if scts != nil {
				t.Error("ParseList returns timestamps with an error")
			}
			return
		}
		again, err := ct.EncodeList(scts)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("the list %x is written as %x, %v", b, again, err)
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	good, err := json.Marshal(map[string]any{
		"sct_version": 0, "id": make([]byte, 32), "timestamp": 1800000000123, "extensions": "", "signature": []byte{4, 3, 0, 1, 9},
	})
	must(f, err)
	for _, seed := range []string{
		string(good), `{}`, `{"sct_version":0,"id":"AAAA","timestamp":1,"signature":"BAMAAA=="}`, `{"timestamp":1e400}`, `[`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		sct, err := ct.ParseAnswer(text)
		if err != nil {
			return
		}
		encoded, err := sct.Encode()
		must(t, err)
		again, err := ct.ParseSCT(encoded)
		if err != nil || !again.At.Equal(sct.At) || again.LogID != sct.LogID || !bytes.Equal(again.Signature, sct.Signature) {
			t.Errorf("the answer %q is written as %x, which reads as %+v, %v", text, encoded, again, err)
		}
	})
}
