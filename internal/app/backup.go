package app

import (
	"log/slog"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/backup"
)

// BackupConfig returns what backups need to know of the installation that the
// configuration names.
func BackupConfig(cfg Config, clock telamon.Clock, log *slog.Logger) (backup.Config, error) {
	kek, err := cfg.Keys.kek()
	if err != nil {
		return backup.Config{}, err
	}
	return backup.Config{
		Database: cfg.Database, KeysDir: cfg.Keys.Dir, KEK: kek, InSigner: cfg.Keys.Signer.Socket != "", AuditLog: auditLog,
		Clock: clock, Log: log, Version: Version(),
	}, nil
}
