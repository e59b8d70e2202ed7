package keystore

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
)

// A Reconciliation is how the journal of a key and the ledger differ.
type Reconciliation struct {
	// Compared is how many certificates of the ledger were.
	Compared int
	// Unledgered are the serial numbers of records without a certificate, the oldest
	// first: requests that failed after the signature was asked for. After a restore
	// they may be certificates that were lost.
	Unledgered []telamon.Serial
	// Unjournaled are certificates without a record: the journal was lost or put back,
	// or somebody signed past it.
	Unjournaled []telamon.Serial
	// Different are certificates whose bytes the key was not asked to sign, though it
	// was for the serial number.
	Different []telamon.Serial
}

// Reconcile compares records of a key's journal, which it has in memory, with the
// certificates of the ledger that the key should have signed. Records of what is no certificate do not
// count. A serial number may have several records: of a precertificate, and of a
// signature that was asked for again.
//
// The ledger must hold no certificates of before the first record, unless the records
// are the journal from its beginning. It reports the ledger's error.
func Reconcile(records []Record, ledger iter.Seq2[telamon.SignedTBS, error]) (*Reconciliation, error) {
	records = slices.DeleteFunc(slices.Clone(records), func(r Record) bool { return !r.OfCertificate() })
	hashes := make(map[telamon.Serial][][32]byte, len(records))
	for _, r := range records {
		hashes[r.Serial] = append(hashes[r.Serial], r.Hash)
	}
	found := make(map[telamon.Serial]bool, len(records))
	result := &Reconciliation{}
	for entry, err := range ledger {
		if err != nil {
			return nil, err
		}
		result.Compared++
		found[entry.Serial] = true
		switch signed := hashes[entry.Serial]; {
		case len(signed) == 0:
			result.Unjournaled = append(result.Unjournaled, entry.Serial)
		case !slices.Contains(signed, entry.Hash):
			result.Different = append(result.Different, entry.Serial)
		}
	}
	slices.SortStableFunc(records, func(a, b Record) int { return cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()) })
	for _, r := range records {
		if !found[r.Serial] {
			found[r.Serial] = true
			result.Unledgered = append(result.Unledgered, r.Serial)
		}
	}
	return result, nil
}

// CompareFrom returns from which time on the ledger can be compared with records that
// do not go back to the journal's beginning: serial numbers tell their hour, and are
// made a little before they are signed.
func CompareFrom(records []Record) time.Time {
	if len(records) == 0 {
		return time.Time{}
	}
	return records[0].At.Truncate(time.Hour).Add(time.Hour)
}
