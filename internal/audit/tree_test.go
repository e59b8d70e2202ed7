package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/telamon-ca/telamon/internal/audit"
)

// tileStore keeps tiles as a database does.
type tileStore map[audit.TileKey][]byte

func (s tileStore) read(_ context.Context, keys []audit.TileKey) (map[audit.TileKey][]byte, error) {
	out := map[audit.TileKey][]byte{}
	for _, key := range keys {
		if data, ok := s[key]; ok {
			out[key] = data
		}
	}
	return out, nil
}

func (s tileStore) save(tiles []audit.Tile) {
	for _, tile := range tiles {
		s[tile.TileKey] = tile.Data
	}
}

// hashStore keeps the hashes that package tlog asks for: the other implementation
// that ours is compared with.
type hashStore []tlog.Hash

func (s *hashStore) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = (*s)[x]
	}
	return out, nil
}

func (s *hashStore) push(t testing.TB, n int64, leaf tlog.Hash) {
	t.Helper()
	hashes, err := tlog.StoredHashesForRecordHash(n, leaf, s)
	if err != nil {
		t.Fatal(err)
	}
	*s = append(*s, hashes...)
}

func testLeaf(n int64) tlog.Hash { return audit.LeafHash(fmt.Appendf(nil, "event %d", n)) }

func testLeaves(from, to int64) []tlog.Hash {
	var out []tlog.Hash
	for n := from; n < to; n++ {
		out = append(out, testLeaf(n))
	}
	return out
}

// grow appends leaves up to each of the sizes in turn.
func grow(t testing.TB, sizes ...int64) (audit.Tree, tileStore) {
	t.Helper()
	tree, tiles := audit.EmptyTree(), tileStore{}
	for _, size := range sizes {
		next, added, err := audit.Append(t.Context(), tree, tiles.read, testLeaves(tree.Size, size))
		if err != nil {
			t.Fatalf("append %d to %d: %v", tree.Size, size, err)
		}
		tree = next
		tiles.save(added)
	}
	return tree, tiles
}

// TestAppend compares roots and tiles with those of package tlog, for logs that
// grew in all sorts of steps.
func TestAppend(t *testing.T) {
	const most = 70_000 // three levels of tiles
	var reference hashStore
	for n := range int64(most) {
		reference.push(t, n, testLeaf(n))
	}
	steps := [][]int64{
		{1}, {2}, {3}, {255}, {256}, {257}, {1, 2, 3, 4, 5}, {255, 256, 257}, {100, 300, 511, 512, 513, 2000},
		{65535, 65536, 65537}, {1, 65536}, {65536, most}, {3, most},
	}
	for _, sizes := range steps {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			tree, tiles := grow(t, sizes...)
			root, err := tlog.TreeHash(tree.Size, &reference)
			if err != nil {
				t.Fatal(err)
			}
			if tree.Root != root {
				t.Errorf("the root of %d events is %s, want %s", tree.Size, tree.Root, root)
			}
			checkTiles(t, tree, tiles, &reference)
		})
	}
}

// checkTiles compares the tiles with those that package tlog makes.
func checkTiles(t *testing.T, tree audit.Tree, tiles tileStore, reference *hashStore) {
	t.Helper()
	want := tlog.NewTiles(8, 0, tree.Size)
	widest := map[audit.TileKey]tlog.Tile{}
	for _, tile := range want {
		key := audit.TileKey{Level: tile.L, N: tile.N}
		if tile.W > widest[key].W {
			widest[key] = tile
		}
	}
	for key, tile := range widest {
		data, err := tlog.ReadTileData(tile, reference)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(tiles[key], data) {
			t.Errorf("tile %d/%d has %d octets that differ from the %d wanted", key.Level, key.N, len(tiles[key]), len(data))
		}
	}
	if len(tiles) != len(widest) {
		t.Errorf("there are %d tiles, want %d", len(tiles), len(widest))
	}
}

// TestAppendInAnySteps: how a log grew does not show.
func TestAppendInAnySteps(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		size := rapid.Int64Range(1, 1500).Draw(r, "size")
		var sizes []int64
		for at := int64(0); at < size; {
			at = min(size, at+rapid.Int64Range(0, 600).Draw(r, "step"))
			sizes = append(sizes, at)
		}
		tree, tiles := grow(t, sizes...)
		once, same := grow(t, size)
		if tree != once {
			t.Fatalf("grown by %v the tree is %v, at once %v", sizes, tree, once)
		}
		for key, data := range same {
			if !bytes.Equal(tiles[key], data) {
				t.Fatalf("grown by %v tile %v differs", sizes, key)
			}
		}
	})
}

func TestAppendRefusesOtherTiles(t *testing.T) {
	const size = 70_000
	leaves := testLeaves(size, size+1)
	tree, tiles := grow(t, size)
	edges := []audit.TileKey{{Level: 0, N: size >> 8}, {Level: 1, N: size >> 16}, {Level: 2, N: 0}}
	for _, key := range edges {
		good := tiles[key]
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 0x20
			tiles[key] = bad
			if _, _, err := audit.Append(t.Context(), tree, tiles.read, leaves); !errors.Is(err, audit.ErrTiles) {
				t.Fatalf("with octet %d of tile %v altered, Append reports %v, want ErrTiles", i, key, err)
			}
		}
		tiles[key] = good[:len(good)-1]
		if _, _, err := audit.Append(t.Context(), tree, tiles.read, leaves); !errors.Is(err, audit.ErrTiles) {
			t.Errorf("with tile %v cut off, Append reports %v, want ErrTiles", key, err)
		}
		tiles[key] = append(bytes.Clone(good), good...)
		if _, _, err := audit.Append(t.Context(), tree, tiles.read, leaves); err != nil {
			t.Errorf("with tile %v grown meanwhile, Append reports %v", key, err)
		}
		tiles[key] = good
	}
	for _, other := range []audit.Tree{{Size: size - 1, Root: tree.Root}, {Size: -1}, {Size: 0, Root: tree.Root}, {Size: size}} {
		if _, _, err := audit.Append(t.Context(), other, tiles.read, leaves); !errors.Is(err, audit.ErrTiles) {
			t.Errorf("to the tree %v Append reports %v, want ErrTiles", other, err)
		}
	}
	broken := errors.New("no database")
	_, _, err := audit.Append(t.Context(), tree, func(context.Context, []audit.TileKey) (map[audit.TileKey][]byte, error) {
		return nil, broken
	}, leaves)
	if !errors.Is(err, broken) {
		t.Errorf("without a database Append reports %v", err)
	}
}

// TestAppendWrites holds that a turn writes a number of tiles that does not grow
// with the log.
func TestAppendWrites(t *testing.T) {
	for _, size := range []int64{1, 256, 65_536, 70_000} {
		tree, tiles := grow(t, size)
		_, added, err := audit.Append(t.Context(), tree, tiles.read, testLeaves(size, size+100))
		if err != nil || len(added) > 4 {
			t.Errorf("100 events more than %d write %d tiles, %v; want at most 4", size, len(added), err)
		}
	}
}

func TestProofs(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		size := rapid.Int64Range(1, 1200).Draw(r, "size")
		tree, tiles := grow(t, size)
		seq := rapid.Int64Range(0, size-1).Draw(r, "seq")
		inclusion, err := audit.ProveInclusion(t.Context(), tree, tiles.read, seq)
		if err != nil {
			t.Fatal(err)
		}
		if err := audit.CheckInclusion(inclusion, tree, seq, testLeaf(seq)); err != nil {
			t.Fatalf("event %d of %d: %v", seq, size, err)
		}
		if err := audit.CheckInclusion(inclusion, tree, seq, testLeaf(seq+1)); err == nil {
			t.Fatalf("the proof of event %d of %d holds for another event", seq, size)
		}
		oldSize := rapid.Int64Range(0, size).Draw(r, "old")
		old, _ := grow(t, oldSize)
		consistency, err := audit.ProveConsistency(t.Context(), tree, tiles.read, oldSize)
		if err != nil {
			t.Fatal(err)
		}
		if err := audit.CheckConsistency(consistency, tree, old); err != nil {
			t.Fatalf("%d begins with %d: %v", size, oldSize, err)
		}
		old.Root[3] ^= 1
		if err := audit.CheckConsistency(consistency, tree, old); err == nil {
			t.Fatalf("the proof that %d begins with %d holds for another log", size, oldSize)
		}
	})
}

func TestProofsRefuse(t *testing.T) {
	tree, tiles := grow(t, 600)
	for _, seq := range []int64{-1, 600, 601} {
		if _, err := audit.ProveInclusion(t.Context(), tree, tiles.read, seq); err == nil {
			t.Errorf("ProveInclusion(%d) of 600 succeeds", seq)
		}
	}
	for _, old := range []int64{-1, 601} {
		if _, err := audit.ProveConsistency(t.Context(), tree, tiles.read, old); err == nil {
			t.Errorf("ProveConsistency(%d) of 600 succeeds", old)
		}
	}
	if err := audit.CheckConsistency(nil, audit.EmptyTree(), audit.EmptyTree()); err != nil {
		t.Errorf("an empty log does not begin with an empty log: %v", err)
	}
	if err := audit.CheckConsistency(tlog.TreeProof{{}}, tree, audit.EmptyTree()); err == nil {
		t.Error("a proof of nothing that is not empty holds")
	}
	tiles[audit.TileKey{Level: 0, N: 1}][40] ^= 1
	if _, err := audit.ProveInclusion(t.Context(), tree, tiles.read, 256); !errors.Is(err, audit.ErrTiles) {
		t.Errorf("ProveInclusion reports %v from an altered tile, want ErrTiles", err)
	}
	if _, err := audit.ProveConsistency(t.Context(), tree, tiles.read, 257); !errors.Is(err, audit.ErrTiles) {
		t.Errorf("ProveConsistency reports %v from an altered tile, want ErrTiles", err)
	}
	broken := func(context.Context, []audit.TileKey) (map[audit.TileKey][]byte, error) { return nil, errBroken }
	if _, err := audit.ProveInclusion(t.Context(), tree, broken, 256); !errors.Is(err, errBroken) || errors.Is(err, audit.ErrTiles) {
		t.Errorf("ProveInclusion reports %v if tiles cannot be read", err)
	}
	delete(tiles, audit.TileKey{Level: 0, N: 0})
	if _, err := audit.ProveInclusion(t.Context(), tree, tiles.read, 3); !errors.Is(err, audit.ErrTiles) {
		t.Errorf("ProveInclusion reports %v without the tile, want ErrTiles", err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, events := range []int{1, 100, 2000} {
		b.Run(fmt.Sprintf("%d", events), func(b *testing.B) {
			tree, tiles := grow(b, 70_000)
			leaves := testLeaves(70_000, 70_000+int64(events))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := audit.Append(b.Context(), tree, tiles.read, leaves); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
