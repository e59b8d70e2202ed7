package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon"
)

// An Entry is one place of the log and what it holds.
type Entry struct {
	Seq     int64
	ID      [16]byte
	Leaf    tlog.Hash // as the log keeps it
	Payload []byte    // nil if the event is not there any more
}

// A GrowingLog is a stored log from some place on.
type GrowingLog interface {
	// Head is that of a [Log].
	Head(ctx context.Context) (Head, error)
	// Entries gives the places from first on, up to end and without it, in order.
	Entries(ctx context.Context, first, end int64) iter.Seq2[Entry, error]
	// ReadTiles returns tiles; see [ReadTiles].
	ReadTiles(ctx context.Context, keys []TileKey) (map[TileKey][]byte, error)
}

// VerifySince verifies what came into the log after a checkpoint that was kept
// elsewhere and opened: that the log began as the checkpoint says, and that every
// event since then is the one that was logged, at its place. What was before is not
// read: the events themselves may have been altered since, which [Verify] finds.
//
// Its cost grows with what came since. Result.Events are those since the checkpoint.
// Of the options, Trusted and Grace are ignored.
func VerifySince(ctx context.Context, log GrowingLog, from Checkpoint, opts Options) (Result, error) {
	if opts.Verifier == nil || opts.Report == nil {
		return Result{}, errors.New("verify audit log: a verifier and a report are needed")
	}
	result, err := verifySince(ctx, log, from, opts)
	if err != nil {
		return result, fmt.Errorf("verify audit log: %w", err)
	}
	return result, nil
}

func verifySince(ctx context.Context, log GrowingLog, from Checkpoint, opts Options) (result Result, err error) {
	report := func(p Problem) {
		result.Problems++
		p.Count = max(p.Count, 1)
		opts.Report(p)
	}
	head, err := log.Head(ctx)
	if err != nil {
		return result, fmt.Errorf("read head: %w", err)
	}
	result.Tree = head.Tree
	if from.Tree.Size > head.Tree.Size {
		report(Problem{Kind: Removed, What: "event", Seq: head.Tree.Size, Count: from.Tree.Size - head.Tree.Size,
			Text: fmt.Sprintf("the checkpoint of %s has %d events", from.At.Format(checkpointTime), from.Tree.Size)})
		return result, nil
	}
	signed, err := OpenCheckpoint(head.Checkpoint, opts.Verifier)
	switch {
	case head.Tree == EmptyTree() && head.Checkpoint == "": // so is the checkpoint
		return result, nil
	case err != nil:
		report(Problem{Kind: Altered, What: "checkpoint", Seq: -1, Text: err.Error()})
	case signed.Tree != head.Tree:
		report(Problem{Kind: Altered, What: "root", Seq: -1, Text: fmt.Sprintf(
			"the log says %d events and root %s, its checkpoint %d and %s", head.Tree.Size, head.Tree.Root, signed.Tree.Size, signed.Tree.Root)})
	}
	edge, err := readEdge(ctx, from.Tree, log.ReadTiles)
	if errors.Is(err, ErrTiles) {
		report(Problem{Kind: Altered, What: "root", Seq: -1, Text: fmt.Sprintf(
			"the log does not begin with the %d events of the checkpoint of %s", from.Tree.Size, from.At.Format(checkpointTime))})
		return result, nil
	}
	if err != nil {
		return result, err
	}
	for entry, err := range log.Entries(ctx, from.Tree.Size, head.Tree.Size) {
		if err != nil {
			return result, err
		}
		if entry.Seq != edge.size {
			report(Problem{Kind: Removed, What: "segment", Seq: edge.size, Count: entry.Seq - edge.size, Text: "no segment has it"})
			return result, nil
		}
		switch event := telamon.EventIDFromBytes(entry.ID); {
		case entry.Payload != nil:
			result.Events++
			if leaf := LeafHash(entry.Payload); leaf != entry.Leaf {
				report(Problem{Kind: Altered, What: "event", Event: event, Seq: entry.Seq, Text: "it is not what was logged"})
			} else if payload, err := Decode(entry.Payload); err != nil {
				report(Problem{Kind: Altered, What: "event", Event: event, Seq: entry.Seq, Text: err.Error()})
			} else if opts.Event != nil {
				if err := opts.Event(payload); err != nil {
					return result, err
				}
			}
		case EventTime(entry.ID).Before(opts.PurgedBefore):
			result.Purged++
		default:
			report(Problem{Kind: Removed, What: "event", Event: event, Seq: entry.Seq, Text: "it was logged and is not there"})
		}
		edge.push(entry.Leaf, func(TileKey, []tlog.Hash) {})
	}
	if edge.tree() != head.Tree {
		report(Problem{Kind: Altered, What: "root", Seq: -1, Text: fmt.Sprintf(
			"the log says %d events and root %s, its places give %d and %s", head.Tree.Size, head.Tree.Root, edge.size, edge.tree().Root)})
	}
	return result, nil
}
