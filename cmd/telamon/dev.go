package main

import (
	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/playground"
)

func newDev() *cobra.Command {
	var options playground.Options
	cmd := &cobra.Command{
		Use: "dev", Short: "Run a playground: everything in one directory, ready to use", Args: noArgs,
		Long: "Make a platform in a directory, with an account, services and credentials for each way that clients\n" +
			"work; issue a certificate over mTLS as a client of it; and serve until SIGINT or SIGTERM.\n" +
			"DIR/dev.json describes it. A second start goes on with what is there.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			options.Out, options.Log = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return playground.Run(cmd.Context(), options)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&options.Dir, "dir", playground.DefaultDir, "the playground's directory")
	flags.StringVar(&options.Listen, "listen", "", "address of the APIs (default that of the playground, "+playground.DefaultListen+" for a new one)")
	flags.StringVar(&options.StatusListen, "status-listen", "",
		"address of issuer certificates, /healthz and /readyz (default that of the playground, "+playground.DefaultStatusListen+" for a new one)")
	flags.StringVar(&options.Database, "database", "", "a PostgreSQL connection string for a new playground, instead of the embedded database")
	flags.StringVar(&options.Signer, "signer", "", "a `file` that \"telamon-signer init\" printed, for a new playground whose CA keys are in that signer")
	flags.BoolVar(&options.Reset, "reset", false, "remove what an earlier playground left in the directory")
	return cmd
}
