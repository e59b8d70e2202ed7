package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// errKeys ends a check that found keys that cannot sign.
var errKeys = errors.New("some keys cannot sign")

func newKeys() *cobra.Command {
	var check bool
	cmd := command("keys", "List the keys: their purposes, where they are, and whether they are there",
		"The columns are the key's name, its type, its role, whether it is retired, the SHA-256 of its\n"+
			"public key, and the reference by which the device has it (\"file\" for a key of the directory).\n"+
			"A signer may be running.",
		func(cmd *cobra.Command, cfg *Config) error { return listKeys(cmd, cfg, check) })
	cmd.Flags().BoolVar(&check, "check", false, "ask the device for each key; status 1 if one is missing")
	return cmd
}

func listKeys(cmd *cobra.Command, cfg *Config, check bool) error {
	log := cfg.newLog(cmd.ErrOrStderr())
	d, err := cfg.openDevice(cmd.Context(), log)
	if err != nil {
		return err
	}
	if d != nil {
		defer d.Close()
	}
	ksCfg, err := cfg.keystoreConfig(d, log)
	if err != nil {
		return err
	}
	in, err := keystore.Inspect(ksCfg)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	var failed error
	for _, k := range in.Keys {
		line, err := describe(k)
		if check && err == nil {
			if err = in.CheckKey(k.Name); err == nil {
				line += "\tthere"
			}
		}
		if err != nil {
			line += "\t" + err.Error()
			failed = errKeys
		}
		fmt.Fprintln(table, line)
	}
	return errors.Join(failed, table.Flush())
}

// describe returns a line of the table.
func describe(k keystore.InspectedKey) (string, error) {
	if k.Public == nil {
		return k.Name, k.Err
	}
	keyType, _ := tbs.KeyTypeOf(k.Public)
	spki, err := x509.MarshalPKIXPublicKey(k.Public)
	if err != nil {
		return k.Name, err
	}
	sum := sha256.Sum256(spki)
	role, state, reference := string(k.Purpose.Role), "active", k.Reference
	if role == "" {
		role, state = "none", "unbound"
	}
	if k.Purpose.Retired {
		state = "retired"
	}
	if reference == "" {
		reference = "file"
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", k.Name, keyType, role, state, hex.EncodeToString(sum[:]), reference), nil
}
