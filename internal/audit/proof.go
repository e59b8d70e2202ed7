package audit

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// ProveInclusion proves that the tree has a leaf at seq, which counts from 0. The
// tiles that it reads are checked against the tree's root: it reports ErrTiles if
// they do not match.
func ProveInclusion(ctx context.Context, tree Tree, read ReadTiles, seq int64) (tlog.RecordProof, error) {
	if seq < 0 || seq >= tree.Size {
		return nil, fmt.Errorf("prove event %d: the audit log has %d", seq, tree.Size)
	}
	tiles := &tileReader{ctx: ctx, read: read}
	proof, err := tlog.ProveRecord(tree.Size, seq, tiles.hashes(tree))
	if err != nil {
		return nil, fmt.Errorf("prove event %d: %w", seq, tiles.judge(err))
	}
	return proof, nil
}

// CheckInclusion checks a proof that the tree has the leaf at seq.
func CheckInclusion(proof tlog.RecordProof, tree Tree, seq int64, leaf tlog.Hash) error {
	if err := tlog.CheckRecord(proof, tree.Size, tree.Root, seq, leaf); err != nil {
		return fmt.Errorf("check event %d: %w", seq, err)
	}
	return nil
}

// ProveConsistency proves that the tree began with all of the tree of size old,
// unchanged. The proof is empty if old is 0. It reports ErrTiles as ProveInclusion
// does.
func ProveConsistency(ctx context.Context, tree Tree, read ReadTiles, old int64) (tlog.TreeProof, error) {
	if old < 0 || old > tree.Size {
		return nil, fmt.Errorf("prove the first %d events: the audit log has %d", old, tree.Size)
	}
	if old == 0 {
		return nil, nil
	}
	tiles := &tileReader{ctx: ctx, read: read}
	proof, err := tlog.ProveTree(tree.Size, old, tiles.hashes(tree))
	if err != nil {
		return nil, fmt.Errorf("prove the first %d events: %w", old, tiles.judge(err))
	}
	return proof, nil
}

// CheckConsistency checks a proof that the tree began as the old one.
func CheckConsistency(proof tlog.TreeProof, tree, old Tree) error {
	if old.Size == 0 {
		if old != EmptyTree() || len(proof) > 0 {
			return fmt.Errorf("check the first 0 events: not the proof of an empty log")
		}
		return nil
	}
	if err := tlog.CheckTree(proof, tree.Size, tree.Root, old.Size, old.Root); err != nil {
		return fmt.Errorf("check the first %d events: %w", old.Size, err)
	}
	return nil
}

// tileReader is one call's ReadTiles as tlog wants it.
type tileReader struct {
	ctx    context.Context
	read   ReadTiles
	failed bool // in read
}

// hashes reads hashes of the tree from tiles, which it checks.
func (r *tileReader) hashes(tree Tree) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: tree.Size, Hash: tree.Root}, r)
}

// judge tells an error of read from tlog's, which has no other than that the tiles
// are not those of the root.
func (r *tileReader) judge(err error) error {
	if r.failed || errors.Is(err, ErrTiles) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrTiles, err)
}

func (r *tileReader) Height() int { return tileHeight }

func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	keys := make([]TileKey, len(tiles))
	for i, t := range tiles {
		keys[i] = TileKey{t.L, t.N}
	}
	data, err := r.read(r.ctx, keys)
	if err != nil {
		r.failed = true
		return nil, err
	}
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		stored := data[keys[i]]
		if len(stored) < t.W*tlog.HashSize {
			return nil, fmt.Errorf("%w: tile %d/%d is missing or short", ErrTiles, t.L, t.N)
		}
		out[i] = stored[:t.W*tlog.HashSize]
	}
	return out, nil
}

func (r *tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
