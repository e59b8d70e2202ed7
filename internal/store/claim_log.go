package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// logKeep is how many lines of a claim's log are kept.
const logKeep = 200

// logClaim adds a line to a claim's log, which loses its oldest ones beyond logKeep.
func (t *txn) logClaim(ctx context.Context, id telamon.ClaimID, e telamon.ClaimLogEntry) error {
	evidence, err := json.Marshal(e.Evidence)
	if err != nil {
		return fmt.Errorf("encode the evidence of claim %s: %w", id, err)
	}
	line, ok := telamon.NewEventID().Bytes()
	if !ok {
		return fmt.Errorf("make an id for the log of claim %s", id)
	}
	err = t.InsertClaimLog(ctx, queries.InsertClaimLogParams{
		ClaimID: id.String(), ID: line[:], At: t.millis(), Status: string(e.Status), Method: string(e.Method),
		Description: e.Description, Evidence: string(evidence),
	})
	if err != nil {
		return fmt.Errorf("log for claim %s: %w", id, err)
	}
	return t.TrimClaimLog(ctx, queries.TrimClaimLogParams{ClaimID: id.String(), Keep: logKeep - 1})
}

// ClaimLog returns the lines of a claim's log that are kept, oldest first.
func (db *DB) ClaimLog(ctx context.Context, id telamon.ClaimID) ([]telamon.ClaimLogEntry, error) {
	rows, err := db.queries().ClaimLog(ctx, id.String())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read the log of claim %s: %w", id, err))
	}
	return mappedOrError(rows, logEntryOf)
}

// ClaimLogs returns the log of each claim that has one.
func (db *DB) ClaimLogs(ctx context.Context, ids []telamon.ClaimID) (map[telamon.ClaimID][]telamon.ClaimLogEntry, error) {
	logs := make(map[telamon.ClaimID][]telamon.ClaimLogEntry, len(ids))
	for chunk := range slices.Chunk(ids, listChunk) {
		var lines []queries.ClaimLog
		err := readListed(ctx, db, "SELECT claim_id, id, at, status, method, description, evidence FROM claim_log WHERE claim_id IN (", chunk,
			") ORDER BY claim_id, id", func(scan func(...any) error) error {
				var r queries.ClaimLog
				err := scan(&r.ClaimID, &r.ID, &r.At, &r.Status, &r.Method, &r.Description, &r.Evidence)
				lines = append(lines, r)
				return err
			})
		if err != nil {
			return nil, db.judge(ctx, fmt.Errorf("read the logs of claims: %w", err))
		}
		for _, r := range lines {
			entry, err := logEntryOf(r)
			if err != nil {
				return nil, err
			}
			logs[telamon.ClaimID(r.ClaimID)] = append(logs[telamon.ClaimID(r.ClaimID)], entry)
		}
	}
	return logs, nil
}

func logEntryOf(r queries.ClaimLog) (telamon.ClaimLogEntry, error) {
	e := telamon.ClaimLogEntry{
		At: timeOf(r.At), Status: telamon.ClaimLogStatus(r.Status), Method: telamon.Method(r.Method), Description: r.Description,
	}
	if err := json.Unmarshal([]byte(r.Evidence), &e.Evidence); err != nil {
		return e, fmt.Errorf("read the log of claim %s: %w", r.ClaimID, err)
	}
	return e, nil
}
