package audit

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// A tileStream gives the stored tiles of one level, in order.
type tileStream struct {
	next     func() (Tile, error, bool)
	tile     Tile
	loaded   bool
	ended    bool
	reported int64 // 1 + the last tile that was reported as missing or short
}

// at returns tile n, and false if it is not stored. It must be asked for in order.
func (s *tileStream) at(n int64) (*Tile, bool, error) {
	for !s.ended && (!s.loaded || s.tile.N < n) {
		tile, err, ok := s.next()
		if err != nil {
			return nil, false, fmt.Errorf("read tiles: %w", err)
		}
		s.tile, s.loaded, s.ended = tile, ok, !ok
	}
	return &s.tile, s.loaded && s.tile.N == n, nil
}

// skipNegative reports tiles before the first of a level, which nobody asks for.
func (v *verification) skipNegative(next func() (Tile, error, bool)) func() (Tile, error, bool) {
	return func() (Tile, error, bool) {
		for {
			tile, err, ok := next()
			if !ok || err != nil || tile.N >= 0 {
				return tile, err, ok
			}
			v.report(Problem{Kind: Inserted, What: "tile", Seq: -1,
				Text: fmt.Sprintf("tile %d/%d is before the beginning of the log", tile.Level, tile.N)})
		}
	}
}

// tileLeaf returns the leaf hash that the tiles have at seq, and false, which is
// reported, if they have none. It must be asked for in order.
func (v *verification) tileLeaf(seq int64) (tlog.Hash, bool, error) {
	stream := &v.tiles[0]
	tile, ok, err := stream.at(seq / TileWidth)
	if err != nil {
		return tlog.Hash{}, false, err
	}
	if ok {
		if h, ok := tile.hash(int(seq % TileWidth)); ok {
			return h, true, nil
		}
	}
	v.reportTile(TileKey{0, seq / TileWidth}, ok)
	return tlog.Hash{}, false, nil
}

// reportTile reports, once, a tile that is missing or is there but short.
func (v *verification) reportTile(key TileKey, short bool) {
	stream := &v.tiles[key.Level]
	if stream.reported > key.N {
		return
	}
	stream.reported = key.N + 1
	p := Problem{Kind: Removed, What: "tile", Text: fmt.Sprintf("tile %d/%d is not there", key.Level, key.N)}
	if short {
		p.Kind, p.Text = Altered, fmt.Sprintf("tile %d/%d is short", key.Level, key.N)
	}
	p.Seq, p.Count = key.span()
	v.report(p)
}

// span returns the first place that a tile is about, and how many they are.
func (k TileKey) span() (seq, count int64) {
	shift := min(tileHeight*(k.Level+1), 62)
	return k.N << shift, 1 << shift
}

// push appends a leaf to the tree that is computed, and checks the tiles that it
// fills and the trusted checkpoints.
func (v *verification) push(leaf tlog.Hash) error {
	if v.unknown {
		v.edge.size++
		return nil
	}
	var failed error
	v.edge.push(leaf, func(key TileKey, hashes []tlog.Hash) {
		if err := v.checkTile(key, hashes); err != nil && failed == nil {
			failed = err
		}
	})
	if failed != nil {
		return failed
	}
	for len(v.trusted) > 0 && v.trusted[0].Tree.Size <= v.edge.size {
		c := v.trusted[0]
		v.trusted = v.trusted[1:]
		if c.Tree.Size > 0 && v.edge.tree() != c.Tree {
			v.report(Problem{Kind: Altered, What: "event", Seq: 0, Count: c.Tree.Size,
				Text: fmt.Sprintf("they do not give the root of the checkpoint of %s", c.At.Format(checkpointTime))})
		}
	}
	return nil
}

// checkTile compares a stored tile with the hashes that it begins with. Those of
// level 0 have been compared one by one.
func (v *verification) checkTile(key TileKey, hashes []tlog.Hash) error {
	tile, ok, err := v.tiles[key.Level].at(key.N)
	if err != nil {
		return err
	}
	if !ok || len(tile.Data) < len(hashes)*tlog.HashSize {
		v.reportTile(key, ok)
		return nil
	}
	first, _ := key.span()
	stored := len(tile.Data) / tlog.HashSize
	long := len(tile.Data)%tlog.HashSize != 0 || stored > TileWidth
	if !long && stored > len(hashes) {
		if long, err = v.isBeyond(key, stored-1); err != nil {
			return err
		}
	}
	if long {
		v.report(Problem{Kind: Altered, What: "tile", Seq: first, Text: fmt.Sprintf(
			"tile %d/%d has %d octets, more than the log has hashes for", key.Level, key.N, len(tile.Data))})
	}
	if key.Level == 0 {
		return nil
	}
	below := int64(1) << (tileHeight * key.Level)
	for i, want := range hashes {
		if got, _ := tile.hash(i); got != want {
			v.report(Problem{Kind: Altered, What: "tile", Seq: first + int64(i)*below, Count: below,
				Text: fmt.Sprintf("hash %d of tile %d/%d is not that of the level below", i, key.Level, key.N)})
		}
	}
	return nil
}

// isBeyond reports whether the i-th hash of a tile that was read is beyond the end
// of the log, which may have grown until the tile was read.
func (v *verification) isBeyond(key TileKey, i int) (bool, error) {
	is := func() bool {
		hashes := v.latest >> (tileHeight * key.Level) // of the level, in the whole log
		return key.N > hashes/TileWidth || key.N*TileWidth+int64(i) >= hashes
	}
	if !is() {
		return false, nil
	}
	err := v.readLatest()
	return is(), err
}

// finishTiles checks the tiles at the edge, and that there are none beyond the end
// of the log as it is now.
func (v *verification) finishTiles() error {
	for level := range v.tiles {
		edge := edgeKey(level, v.edge.size)
		if !v.unknown && level < len(v.edge.rows) && len(v.edge.rows[level]) > 0 {
			if err := v.checkTile(edge, v.edge.rows[level]); err != nil {
				return err
			}
			edge.N++
		}
		stream := &v.tiles[level]
		for ; ; stream.loaded = false {
			if _, _, err := stream.at(edge.N); err != nil {
				return err
			}
			if stream.ended {
				break
			}
			beyond, err := v.isBeyond(stream.tile.TileKey, 0)
			if err != nil {
				return err
			}
			if beyond {
				v.report(Problem{Kind: Inserted, What: "tile", Seq: -1,
					Text: fmt.Sprintf("tile %d/%d is beyond the end of the log", level, stream.tile.N)})
			}
		}
	}
	return nil
}

// checkRoot compares the root that the events give with the stored one.
func (v *verification) checkRoot() {
	if tree := v.edge.tree(); !v.unknown && tree != v.head.Tree {
		v.rootWrong = true
		v.report(Problem{Kind: Altered, What: "root", Seq: 0, Count: tree.Size, Text: fmt.Sprintf(
			"the log's places give the root %s, and it says %s", tree.Root, v.head.Tree.Root)})
	}
}
