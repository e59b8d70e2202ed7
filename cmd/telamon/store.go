package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/app"
)

func newStore() *cobra.Command {
	f := &adminFlags{}
	var config string
	stats := &cobra.Command{
		Use: "stats", Short: "Say what the database takes, table by table", Args: noArgs,
		Long: "Say what the database takes, table by table, the largest first. The server may run meanwhile. An SQLite\n" +
			"database is read as a whole; of PostgreSQL, rows are as of the last ANALYZE.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := app.LoadConfig(config)
			if err != nil {
				return err
			}
			db, err := app.ReadDatabase(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer db.Close()
			size, err := db.Size(cmd.Context())
			if err != nil {
				return err
			}
			if f.json {
				answer, err := json.Marshal(size)
				if err != nil {
					return err
				}
				return f.print(cmd.OutOrStdout(), answer, nil)
			}
			tables, err := json.Marshal(map[string]any{"items": size.Tables})
			if err != nil {
				return err
			}
			if err := f.print(cmd.OutOrStdout(), tables, []string{"name", "rows", "bytes", "index_bytes"}); err != nil {
				return err
			}
			size.Tables = nil
			whole, err := json.Marshal(size)
			if err != nil {
				return err
			}
			return f.print(cmd.OutOrStdout(), whole, nil)
		},
	}
	stats.Flags().StringVarP(&config, "config", "c", defaultConfig, "the configuration, which names the database")
	stats.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return group("store", "The database", stats)
}
