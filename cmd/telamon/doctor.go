package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/doctor"
)

func newDoctor() *cobra.Command {
	var config, purged string
	var checkpoints []string
	var asJSON bool
	options := doctor.Options{Clock: telamon.SystemClock{}}
	cmd := &cobra.Command{
		Use: "doctor", Short: "Examine an installation: exit status 3 if something fails", Args: noArgs,
		Long: "Examine an installation, whether its server runs or not: configuration, files, disk, keys, clock, database,\n" +
			"journals, the whole audit log, and what is published. Nothing is changed. Each line is ok, warn or fail, and\n" +
			"says what to do; the exit status is 3 if one is fail.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := app.LoadConfig(config)
			if err != nil {
				return err
			}
			for _, file := range checkpoints {
				text, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				options.Checkpoints = append(options.Checkpoints, string(text))
			}
			before, err := optionalTime("purged-before", purged)
			if err != nil {
				return err
			}
			if before != nil {
				options.PurgedBefore = *before
			}
			report := doctor.Examine(cmd.Context(), cfg, options)
			if err := printReport(cmd, report, asJSON); err != nil {
				return err
			}
			if report.Worst() == doctor.Fail {
				return errProblems
			}
			return nil
		},
	}
	configFlag(cmd, &config)
	flags := cmd.Flags()
	flags.StringSliceVar(&checkpoints, "checkpoint", nil, "file of a checkpoint that was kept; may be given several times")
	flags.StringVar(&purged, "purged-before", "", "audit events of before this time may be missing")
	flags.IntVar(&options.Records, "records", 0, "how many of each key's newest signatures are looked for in the ledger (default 10000)")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printReport(cmd *cobra.Command, report *doctor.Report, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	tab := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, f := range report.Findings {
		fmt.Fprintf(tab, "%s\t%s\t%s\n", f.Level, f.Check, f.Text)
		if f.Do != "" {
			fmt.Fprintf(tab, "\t\t-> %s\n", f.Do)
		}
	}
	return tab.Flush()
}
