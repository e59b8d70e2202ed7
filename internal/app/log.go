package app

import (
	"fmt"
	"io"
	"log/slog"
)

// NewLog returns a logger of the configured level and format, and the level, which
// Reload can change.
func NewLog(cfg LogConfig, w io.Writer) (*slog.Logger, *slog.LevelVar, error) {
	named, err := logLevel(cfg.Level)
	if err != nil {
		return nil, nil, fmt.Errorf("log.level: %w", err)
	}
	level := new(slog.LevelVar)
	level.Set(named)
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options)), level, nil
	}
	return slog.New(slog.NewJSONHandler(w, options)), level, nil
}

func logLevel(name string) (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return 0, fmt.Errorf("%q is none of debug, info, warn, error", name)
	}
	return level, nil
}
