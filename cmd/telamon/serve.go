package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
)

// defaultConfig is where the configuration is looked for.
const defaultConfig = "/etc/telamon/telamon.yaml"

func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", defaultConfig, "the configuration file")
}

func newServe() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the server", Args: noArgs,
		Long: "Run the server that the configuration describes, until SIGINT or SIGTERM; then drain and stop.\n" +
			"SIGHUP reads the server certificate's files and the log level anew.",
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), path, cmd) },
	}
	configFlag(cmd, &path)
	return cmd
}

func serve(ctx context.Context, path string, cmd *cobra.Command) (err error) {
	cfg, err := checkedConfig(path)
	if err != nil {
		return err
	}
	log, level, err := app.NewLog(cfg.Log, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	a, err := app.Open(ctx, cfg, telamon.SystemClock{}, log, level)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := a.Close(); err == nil {
			err = closeErr
		}
	}()
	server, err := a.Listen(ctx)
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				if err := reload(ctx, server, path); err != nil {
					log.ErrorContext(ctx, "reload failed: nothing has changed", "error", err)
				}
			}
		}
	}()
	return server.Run(ctx)
}

func reload(ctx context.Context, server *app.Server, path string) error {
	cfg, err := checkedConfig(path)
	if err != nil {
		return err
	}
	return server.Reload(ctx, cfg)
}

func checkedConfig(path string) (app.Config, error) {
	cfg, err := app.LoadConfig(path)
	if err != nil {
		return cfg, err
	}
	return cfg, cfg.Check()
}

func newInit() *cobra.Command {
	var path string
	var options app.InitOptions
	cmd := &cobra.Command{
		Use: "init", Short: "Make a new installation: keystore, database and CA hierarchies", Args: noArgs,
		Long: "Make the keystore, the database's tables, and the hierarchies of CAs with their keys.\n" +
			"An installation that exists is never touched.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := checkedConfig(path)
			if err != nil {
				return err
			}
			log, _, err := app.NewLog(cfg.Log, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := app.Init(cmd.Context(), cfg, options, telamon.SystemClock{}, log); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "made the installation: start it with telamon serve -config %s\n", path)
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&options.Country, "country", "", "country in the names of the CAs, two letters; strict TLS has XX if none is given")
	cmd.Flags().StringVar(&options.Organization, "organization", "", "organization in the names of the CAs")
	cmd.Flags().BoolVar(&options.StrictTLS, "strict-tls", false, "make the hierarchy that follows the rules of public CAs too")
	cmd.Flags().BoolVar(&options.MakeKEK, "make-kek", false, "make the key-encryption key, if keys.kek_file names none that exists")
	return cmd
}

func newConfig() *cobra.Command {
	var path string
	show := &cobra.Command{
		Use: "print", Short: "Print the configuration with its defaults, without secrets", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := app.LoadConfig(path)
			if err != nil {
				return err
			}
			return yaml.NewEncoder(cmd.OutOrStdout()).Encode(cfg)
		},
	}
	check := &cobra.Command{
		Use: "check", Short: "Say what is wrong with the configuration", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := checkedConfig(path); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the configuration is good")
			return nil
		},
	}
	configFlag(show, &path)
	configFlag(check, &path)
	return group("config", "Print or check the configuration", show, check)
}
