package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
)

// defaultAgentConfig is where the configuration of a perspective is looked for.
const defaultAgentConfig = "/etc/telamon/perspective.yaml"

func newPerspective() *cobra.Command {
	var path string
	var check bool
	cmd := &cobra.Command{
		Use: "perspective", Short: "Run a remote network perspective, which looks at domains for a server elsewhere", Args: noArgs,
		Long: "Run a remote network perspective: answer a server elsewhere that asks, over mutual TLS, what is seen of a\n" +
			"domain from here, until SIGINT or SIGTERM; then drain and stop. It needs no database.\n" +
			"SIGHUP reads the certificate's files anew.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := app.LoadAgentConfig(path)
			if err != nil {
				return err
			}
			if err := cfg.Check(); err != nil {
				return err
			}
			if check {
				fmt.Fprintln(cmd.OutOrStdout(), "the configuration is good")
				return nil
			}
			return runPerspective(cmd.Context(), cfg, cmd)
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", defaultAgentConfig, "the configuration file of the perspective")
	cmd.Flags().BoolVar(&check, "check", false, "say what is wrong with the configuration, and run nothing")
	return cmd
}

func runPerspective(ctx context.Context, cfg app.AgentConfig, cmd *cobra.Command) error {
	log, _, err := app.NewLog(cfg.Log, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	agent, err := app.ListenAgent(ctx, cfg, telamon.SystemClock{}, log)
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	go reloadPerspective(ctx, agent, hangups, log)
	return agent.Run(ctx)
}

// reloadPerspective reads the certificate anew at each signal, until ctx ends.
func reloadPerspective(ctx context.Context, agent *app.Agent, hangups <-chan os.Signal, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if err := agent.Reload(ctx); err != nil {
				log.ErrorContext(ctx, "reload failed: nothing has changed", "error", err)
			}
		}
	}
}
