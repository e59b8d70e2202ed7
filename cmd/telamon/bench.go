package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/bench"
	"github.com/telamon-ca/telamon/internal/playground"
)

func newBench() *cobra.Command {
	var (
		dev, credential string
		fill            int64
		revoked         bool
		cfg             = bench.Config{}
	)
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure a running playground over its wire", Args: noArgs,
		Long: "Drive a running \"telamon dev\" over TLS and print one JSON object with the rate and the times of single\n" +
			"operations. Keys and requests are made before the clock starts. With --fill, load synthetic certificates\n" +
			"straight into the database instead, so that growth can be measured.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			description, err := playground.ReadDescription(dev)
			if err != nil {
				return err
			}
			c, err := description.Credential(credential)
			if err != nil {
				return usagef("%w", err)
			}
			out := json.NewEncoder(cmd.OutOrStdout())
			progress := func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), text) }
			if fill > 0 {
				result, err := playground.Fill(cmd.Context(), description, c, fill, revoked, progress)
				if err != nil {
					return err
				}
				return out.Encode(result)
			}
			cfg.OnProgress = progress
			cfg.Target = bench.Target{
				URL: description.AtlasURL, APIKey: c.APIKey, APISecret: c.APISecret, CertFile: c.CertFile, KeyFile: c.KeyFile,
				CAFile: description.ServerCAFile, KeyType: c.KeyType, KeyFormat: c.KeyFormat, SignsKeys: c.SignsKeys, CommonName: "testsubject",
				StatusURL: description.StatusURL,
			}
			if one := description.DigiCertONE; one != nil {
				cfg.Target.DigiCertONE = &bench.DigiCertONE{BaseURL: one.BaseURL, ClientAuthURL: one.ClientAuthURL, APIKey: one.APIKey}
			}
			result, err := bench.Run(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if err := out.Encode(result); err != nil {
				return err
			}
			if result.Errors > 0 {
				return fmt.Errorf("%d operations failed, the first with: %s", result.Errors, result.FirstFail)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&dev, "dev", playground.DefaultDir+"/dev.json", "the playground's description")
	flags.StringVar(&cfg.Operation, "op", "issue", fmt.Sprintf("one of %v", bench.Operations))
	flags.StringVar(&credential, "credential", "dev_ecdsa", "name of the credential that is used")
	flags.IntVar(&cfg.Workers, "workers", 8, "connections")
	flags.DurationVar(&cfg.Duration, "duration", 10*time.Second, "how long to measure")
	flags.IntVarP(&cfg.N, "n", "n", 0, "how many operations; 0 is as many as fit the duration")
	flags.Int64Var(&fill, "fill", 0, "load so many synthetic certificates into the database, and measure nothing")
	flags.BoolVar(&revoked, "revoked", false, "with --fill: certificates that are revoked")
	return cmd
}
