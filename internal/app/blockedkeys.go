package app

import (
	"fmt"
	"os"

	"github.com/telamon-ca/telamon/internal/keycheck"
)

// loadBlockedKeys puts the configured list of blocked keys in force. If it cannot be
// read, the one that was in force stays.
func (a *App) loadBlockedKeys() error {
	if a.Config.BlockedKeysFile == "" {
		return nil
	}
	file, err := os.Open(a.Config.BlockedKeysFile)
	if err != nil {
		return fmt.Errorf("blocked_keys_file: %w", err)
	}
	defer file.Close()
	list, err := keycheck.ParseBlocklist(file)
	if err != nil {
		return fmt.Errorf("blocked_keys_file: %w", err)
	}
	a.KeyCheck.Replace(list)
	a.Log.Info("the list of blocked keys is in force", "entries", list.Len())
	return nil
}
