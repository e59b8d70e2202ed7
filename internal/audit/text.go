package audit

import (
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// InclusionText returns a proof of inclusion as a file for others
// (c2sp.org/tlog-proof): the place of the event, the hashes, and the signed
// checkpoint of the tree that they lead to. Whoever has it, the event's octets and
// the log's verifier key needs nothing else of ours.
func InclusionText(seq int64, proof tlog.RecordProof, checkpoint string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "c2sp.org/tlog-proof@v1\nindex %d\n", seq)
	writeHashes(&b, proof)
	return b.String() + "\n" + checkpoint
}

// ConsistencyText returns a proof of consistency in the form in which witnesses take
// it (c2sp.org/tlog-witness): the old size, the hashes, and the signed checkpoint.
func ConsistencyText(old int64, proof tlog.TreeProof, checkpoint string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "old %d\n", old)
	writeHashes(&b, proof)
	return b.String() + "\n" + checkpoint
}

func writeHashes(b *strings.Builder, hashes []tlog.Hash) {
	for i := range hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(hashes[i][:]) + "\n")
	}
}
