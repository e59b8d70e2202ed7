package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Series is a directory of backups that are made one after the other: the points in
// time that can be gone back to.
type Series struct {
	Dir  string
	Keep int // how many of the newest stay; 0 keeps all
}

// The names of the backups of a series sort by time.
const (
	seriesPrefix = "telamon-"
	seriesTime   = "20060102T150405.000Z"
	seriesSuffix = ".tar.gz"
)

// A Point is one backup of a series.
type Point struct {
	Path string
	At   time.Time
}

// Points returns the backups of the series, the oldest first.
func (s *Series) Points() ([]Point, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("read backups: %w", err)
	}
	var points []Point
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), seriesPrefix)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		name, ok = strings.CutSuffix(name, seriesSuffix)
		at, err := time.Parse(seriesTime, name)
		if !ok || err != nil {
			continue // somebody else's file
		}
		points = append(points, Point{filepath.Join(s.Dir, e.Name()), at})
	}
	slices.SortFunc(points, func(a, b Point) int { return a.At.Compare(b.At) })
	return points, nil
}

// At returns the newest backup that is not younger than at; of all, if at is zero.
func (s *Series) At(at time.Time) (Point, error) {
	points, err := s.Points()
	if err != nil {
		return Point{}, err
	}
	for _, p := range slices.Backward(points) {
		if at.IsZero() || !p.At.After(at) {
			return p, nil
		}
	}
	if at.IsZero() {
		return Point{}, fmt.Errorf("there is no backup in %s", s.Dir)
	}
	return Point{}, fmt.Errorf("there is no backup of %s or before in %s", at.UTC().Format(time.RFC3339), s.Dir)
}

// Next makes the next backup of the series, and removes the oldest ones once it is
// durable.
func (s *Series) Next(ctx context.Context, cfg Config) (*Made, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make backup: %w", err)
	}
	made, err := Create(ctx, cfg, filepath.Join(s.Dir, seriesPrefix+cfg.Clock.Now().UTC().Format(seriesTime)+seriesSuffix))
	if err != nil {
		return nil, err
	}
	return made, s.drop()
}

func (s *Series) drop() error {
	points, err := s.Points()
	if err != nil || s.Keep == 0 {
		return err
	}
	var errs []error
	for _, p := range points[:max(len(points)-s.Keep, 0)] {
		errs = append(errs, os.Remove(p.Path))
	}
	return errors.Join(errs...)
}
