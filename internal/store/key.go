package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// KeyBlock returns why the key is certified no more for the account, or nil: first what
// blocks it for everybody. It reads one place of one index.
func (db *DB) KeyBlock(ctx context.Context, spki [32]byte, account telamon.AccountID) (*telamon.KeyBlock, error) {
	rows, err := db.queries().KeyBlocks(ctx, spki[:])
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("look for a blocked key: %w", err))
	}
	return blockFor(rows, spki[:], account), nil
}

// blockFor returns what blocks the key for the account, nil if nothing does. The rows of
// one key are in the order of their accounts: those for everybody come first.
func blockFor(rows []queries.BlockedKey, spki []byte, account telamon.AccountID) *telamon.KeyBlock {
	for _, r := range rows {
		if bytes.Equal(r.SpkiHash, spki) && (r.AccountID == "" || r.AccountID == account.String()) {
			block := keyBlockOf(r)
			return &block
		}
	}
	return nil
}

// blocksOf are the statements that read what blocks 1, 2, 4, ... maxBatch keys, so that
// few different ones are ever prepared.
var blocksOf = func() (texts []string) {
	for keys := 1; keys <= maxBatch; keys *= 2 {
		list := "$1"
		for i := 2; i <= keys; i++ {
			list += ", $" + strconv.Itoa(i)
		}
		texts = append(texts, "SELECT spki_hash, account_id, source, serial, created_at FROM blocked_key"+
			" WHERE spki_hash IN ("+list+") ORDER BY spki_hash, account_id")
	}
	return texts
}()

// refuseBlocked refuses the units whose certificate is for a key that is blocked, as
// whoever asked for it was told before it was signed: a key that is reported between the
// two is not certified. The account is the event's.
func (t *txn) refuseBlocked(ctx context.Context, batch []*unit) error {
	var hashes []any
	for _, u := range batch {
		if u.cert != nil && u.refused == nil {
			hashes = append(hashes, u.cert.SPKIHash[:])
		}
	}
	if len(hashes) == 0 {
		return nil
	}
	size := bits.Len(uint(len(hashes) - 1))
	for len(hashes) < 1<<size {
		hashes = append(hashes, hashes[0])
	}
	rows, err := t.conn.QueryContext(ctx, blocksOf[size], hashes...)
	if err != nil {
		return fmt.Errorf("look for blocked keys: %w", err)
	}
	blocked, err := readBlocks(rows)
	if err != nil || len(blocked) == 0 {
		return err
	}
	for _, u := range batch {
		if u.cert == nil || u.refused != nil {
			continue
		}
		if block := blockFor(blocked, u.cert.SPKIHash[:], u.event.Account); block != nil {
			u.refused = &fault.Fault{
				Kind: fault.Invalid, Code: "policy", Detail: "The request does not meet the validation policy.",
				Fields: []fault.Field{{Path: "public_key", Problem: "is blocked: " + block.Why()}},
			}
		}
	}
	return nil
}

// readBlocks reads and closes the rows.
func readBlocks(rows *sql.Rows) (blocked []queries.BlockedKey, err error) {
	defer rows.Close()
	for rows.Next() {
		var r queries.BlockedKey
		if err := rows.Scan(&r.SpkiHash, &r.AccountID, &r.Source, &r.Serial, &r.CreatedAt); err != nil {
			return nil, fmt.Errorf("read a blocked key: %w", err)
		}
		blocked = append(blocked, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read blocked keys: %w", err)
	}
	return blocked, nil
}

func keyBlockOf(r queries.BlockedKey) telamon.KeyBlock {
	b := telamon.KeyBlock{
		SPKIHash: [32]byte(r.SpkiHash), Account: telamon.AccountID(r.AccountID), Source: telamon.KeyBlockSource(r.Source), At: timeOf(r.CreatedAt),
	}
	if len(r.Serial) == len(telamon.Serial{}) {
		serial := telamon.Serial(r.Serial)
		b.Serial = &serial
	}
	return b
}

// BlockedKeys lists blocked keys by their hash. The page's After is the text of
// [KeyBlockID].
func (db *DB) BlockedKeys(ctx context.Context, page Page) ([]telamon.KeyBlock, error) {
	params := queries.BlockedKeysParams{SpkiHash: []byte{}, Lim: page.limit()}
	if page.After != "" {
		digits, account, _ := strings.Cut(page.After, "/")
		hash, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fault.New(fault.Malformed, "key_id", "after: is not the ID of a blocked key")
		}
		params.SpkiHash, params.AccountID = hash, account
	}
	rows, err := db.queries().BlockedKeys(ctx, params)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list blocked keys: %w", err))
	}
	return mapped(rows, keyBlockOf), nil
}

// KeyBlockID names a block in lists: the key's hash, and the account that it is for.
func KeyBlockID(b *telamon.KeyBlock) string {
	return hex.EncodeToString(b.SPKIHash[:]) + "/" + b.Account.String()
}

// BlockKey blocks a key, and writes the audit event. It reports Conflict with
// key_blocked if it is blocked like this already.
func (db *DB) BlockKey(ctx context.Context, actor telamon.Actor, block telamon.KeyBlock) error {
	return db.update(ctx, func(t *txn) error {
		added, err := t.blockKey(ctx, &block)
		if err != nil {
			return err
		}
		if !added {
			return fault.New(fault.Conflict, "key_blocked", "This key is blocked already.")
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: block.Account, Action: "key.block", Object: hex.EncodeToString(block.SPKIHash[:]), Result: "ok",
			After: map[string]any{"source": block.Source},
		})
	})
}

// blockKey blocks a key and reports whether that changed anything: a key's own
// attestation stands above what others say.
func (t *txn) blockKey(ctx context.Context, block *telamon.KeyBlock) (bool, error) {
	params := queries.BlockKeyParams{
		SpkiHash: block.SPKIHash[:], AccountID: block.Account.String(), Source: string(block.Source), Now: t.millis(),
	}
	if block.Serial != nil {
		params.Serial = block.Serial[:]
	}
	changed, err := t.Queries.BlockKey(ctx, params)
	if err != nil {
		return false, fmt.Errorf("block a key: %w", err)
	}
	return changed == 1, nil
}

// UnblockKey ends what staff or an account said of a key, and writes the audit event.
// It reports NotFound with key_not_blocked, and Conflict with key_attested for a key
// that has itself attested that it is compromised: that cannot be taken back.
func (db *DB) UnblockKey(ctx context.Context, actor telamon.Actor, spki [32]byte, account telamon.AccountID) error {
	return db.update(ctx, func(t *txn) error {
		rows, err := t.KeyBlocks(ctx, spki[:])
		if err != nil {
			return fmt.Errorf("look for a blocked key: %w", err)
		}
		for _, r := range rows {
			if r.AccountID != account.String() {
				continue
			}
			if r.Source == string(telamon.BlockedByAttestation) {
				return fault.New(fault.Conflict, "key_attested", "The key itself has attested that it is compromised.")
			}
			params := queries.UnblockKeyParams{SpkiHash: spki[:], AccountID: account.String(), Source: r.Source}
			if err := mustChange(t.Queries.UnblockKey(ctx, params)); err != nil {
				return fmt.Errorf("unblock a key: %w", err)
			}
			return t.audit(ctx, telamon.Event{
				Actor: actor, Account: account, Action: "key.unblock", Object: hex.EncodeToString(spki[:]), Result: "ok",
				Before: map[string]any{"source": r.Source},
			})
		}
		return fault.New(fault.NotFound, "key_not_blocked", "This key is not blocked like this.")
	})
}

// blocking adds a block of the key to what revokes a certificate. Of a certificate that
// is revoked already it makes a block for everybody, if there was none yet.
func blocking(revoke func(context.Context, *txn) error, block *telamon.KeyBlock) func(context.Context, *txn) error {
	return func(ctx context.Context, t *txn) error {
		refused := revoke(ctx, t)
		if refused != nil && (block.Account != "" || fault.From(refused).Code != fault.CodeAlreadyRevoked) {
			return refused
		}
		added, err := t.blockKey(ctx, block)
		if err != nil || added {
			return err
		}
		return refused
	}
}

// clientKeyBlock is what the compromise of a client certificate's key means: staff is
// believed for everybody, and anyone else for the account.
func clientKeyBlock(actor telamon.Actor, row queries.ClientCertificate) *telamon.KeyBlock {
	block := &telamon.KeyBlock{SPKIHash: [32]byte(row.SpkiHash), Source: telamon.BlockedByStaff}
	if !ofStaff(actor, telamon.AccountID(row.AccountID)) {
		block.Account, block.Source = telamon.AccountID(row.AccountID), telamon.BlockedByAccount
	}
	return block
}

// ofStaff reports whether an actor, who may do something to what an account has, is one of
// the CA's staff: an operator, or a user of another account.
func ofStaff(actor telamon.Actor, owner telamon.AccountID) bool {
	return actor.Kind == telamon.ActorOperator || actor.Kind == telamon.ActorUser && actor.Account != owner
}
