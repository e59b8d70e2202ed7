package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Tiles are 8 levels of the tree high: 256 hashes wide (package tlog explains them).
const (
	tileHeight = 8
	TileWidth  = 1 << tileHeight
	tileLevels = 8 // enough for 2^63 events
)

// ErrTiles says that the stored tiles do not give the tree's root: one of them, or
// the root, was altered.
var ErrTiles = errors.New("the audit log's tiles do not match its root")

// A Tree is the log at one instant: how many events have a place, and the hash
// over all of them.
type Tree struct {
	Size int64
	Root tlog.Hash
}

// EmptyTree is the tree without events (RFC 6962, Section 2.1).
func EmptyTree() Tree { return Tree{Root: sha256.Sum256(nil)} }

// A TileKey is the place of a tile: those of level 0 hold the hashes of events,
// those of level n+1 hold the hash of one whole tile of level n each.
type TileKey struct {
	Level int
	N     int64
}

// A Tile is up to TileWidth hashes, one after the other. It is stored under its
// key and replaced by a longer one of which it is the beginning.
type Tile struct {
	TileKey
	Data []byte
}

// hash returns the i-th hash, and false if the tile has none.
func (t *Tile) hash(i int) (h tlog.Hash, ok bool) {
	if (i+1)*tlog.HashSize > len(t.Data) {
		return h, false
	}
	return tlog.Hash(t.Data[i*tlog.HashSize : (i+1)*tlog.HashSize]), true
}

// ReadTiles returns the data of those of the keys that are stored. The data may be
// longer than it was when the tree had the size that the reader has in mind.
type ReadTiles func(ctx context.Context, keys []TileKey) (map[TileKey][]byte, error)

// Append returns the tree with the leaves appended to it, in their order, and the
// tiles that must be stored with it. It reads one tile per level, whatever the
// number of leaves, and checks them against the tree's root.
//
// It reports ErrTiles if they do not match; then nothing may be appended.
func Append(ctx context.Context, tree Tree, read ReadTiles, leaves []tlog.Hash) (Tree, []Tile, error) {
	e, err := readEdge(ctx, tree, read)
	if err != nil {
		return Tree{}, nil, err
	}
	var tiles []Tile
	for _, leaf := range leaves {
		e.push(leaf, func(key TileKey, hashes []tlog.Hash) { tiles = append(tiles, newTile(key, hashes)) })
	}
	for level, row := range e.rows {
		shift := tileHeight * level
		if grown := tree.Size>>shift != e.size>>shift; grown && len(row) > 0 {
			tiles = append(tiles, newTile(edgeKey(level, e.size), row))
		}
	}
	return e.tree(), tiles, nil
}

func newTile(key TileKey, hashes []tlog.Hash) Tile {
	data := make([]byte, 0, len(hashes)*tlog.HashSize)
	for i := range hashes {
		data = append(data, hashes[i][:]...)
	}
	return Tile{key, data}
}

// edge is the right edge of a growing tree: of each level the tile that is not
// full yet, which is all that is needed to append to it and to give its root.
type edge struct {
	size int64
	rows [][]tlog.Hash // by level, fewer than TileWidth each
}

// edgeKey returns the key of the tile of the level that is not full in a tree of
// this size.
func edgeKey(level int, size int64) TileKey {
	return TileKey{level, size >> (tileHeight * (level + 1))}
}

// readEdge reads the edge of a tree and checks that it gives its root.
func readEdge(ctx context.Context, tree Tree, read ReadTiles) (*edge, error) {
	if tree.Size < 0 {
		return nil, fmt.Errorf("%w: its size is %d", ErrTiles, tree.Size)
	}
	e := &edge{size: tree.Size}
	var keys []TileKey
	for level := 0; tree.Size>>(tileHeight*level) > 0; level++ {
		e.rows = append(e.rows, make([]tlog.Hash, 0, TileWidth))
		if tree.Size>>(tileHeight*level)%TileWidth > 0 {
			keys = append(keys, edgeKey(level, tree.Size))
		}
	}
	var data map[TileKey][]byte
	if len(keys) > 0 {
		var err error
		if data, err = read(ctx, keys); err != nil {
			return nil, fmt.Errorf("read the audit log's tiles: %w", err)
		}
	}
	for _, key := range keys {
		tile := Tile{key, data[key]}
		for i := range int(tree.Size >> (tileHeight * key.Level) % TileWidth) {
			h, ok := tile.hash(i)
			if !ok {
				return nil, fmt.Errorf("%w: tile %d/%d is missing or short", ErrTiles, key.Level, key.N)
			}
			e.rows[key.Level] = append(e.rows[key.Level], h)
		}
	}
	if e.tree() != tree {
		return nil, ErrTiles
	}
	return e, nil
}

// push appends a leaf. It calls full with each tile that this fills; the hashes
// are good until full returns.
func (e *edge) push(h tlog.Hash, full func(TileKey, []tlog.Hash)) {
	e.size++
	for level := 0; ; level++ {
		if level == len(e.rows) {
			e.rows = append(e.rows, make([]tlog.Hash, 0, TileWidth))
		}
		row := append(e.rows[level], h)
		if len(row) < TileWidth {
			e.rows[level] = row
			return
		}
		full(edgeKey(level, e.size-1), row)
		h = subtree(row)
		e.rows[level] = row[:0]
	}
}

// tree returns the tree that ends at the edge. Its root joins the whole subtrees
// that a tree of this size is made of, from the right to the left (RFC 6962,
// Section 2.1).
func (e *edge) tree() Tree {
	if e.size == 0 {
		return EmptyTree()
	}
	var root tlog.Hash
	first := true
	for _, row := range e.rows {
		for len(row) > 0 {
			width := len(row) & -len(row)
			whole := subtree(row[len(row)-width:])
			if first {
				root, first = whole, false
			} else {
				root = tlog.NodeHash(whole, root)
			}
			row = row[:len(row)-width]
		}
	}
	return Tree{e.size, root}
}

// subtree returns the root over hashes, whose number is a power of two.
func subtree(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	var buffer [TileWidth / 2]tlog.Hash
	level := buffer[:len(hashes)/2]
	for i := range level {
		level[i] = tlog.NodeHash(hashes[2*i], hashes[2*i+1])
	}
	for len(level) > 1 {
		for i := range len(level) / 2 {
			level[i] = tlog.NodeHash(level[2*i], level[2*i+1])
		}
		level = level[:len(level)/2]
	}
	return level[0]
}
