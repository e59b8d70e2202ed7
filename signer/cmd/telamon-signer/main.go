// Command telamon-signer holds the CA keys of a telamon server, on an HSM, in a cloud
// KMS or in files, and does with them what their purposes allow. It listens on a Unix
// socket alone. Each command's -help is its manual.
//
// The exit status is 0 for success, 1 if the work failed, and 2 if the command line
// is wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs the program and returns its exit status.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	root := newRoot()
	root.SetArgs(longFlags(args))
	root.SetOut(out)
	root.SetErr(errOut)
	called, err := root.ExecuteContextC(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(errOut, "telamon-signer: %s\nsee: %s --help\n", err, called.CommandPath())
		return 2
	}
	fmt.Fprintf(errOut, "telamon-signer: %s\n", err)
	return 1
}

// A usageError is a wrong command line.
type usageError struct{ cause error }

func (e *usageError) Error() string { return e.cause.Error() }

// longFlags turns -flag into --flag, as the server's own commands take them.
func longFlags(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		if name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "="); strings.HasPrefix(arg, "-") && len(name) > 1 && name[0] >= 'a' && name[0] <= 'z' {
			arg = "-" + arg
		}
		out[i] = arg
	}
	return out
}

// defaultConfig is where the configuration is unless -config says otherwise.
const defaultConfig = "/etc/telamon-signer/signer.yaml"

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use: "telamon-signer", Short: "Holds the CA keys of a telamon server",
		Long:         "Holds the CA keys of a telamon server, on an HSM, in a cloud KMS or in files.\nFlags may be written with one dash or two.",
		SilenceUsage: true, SilenceErrors: true, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newInit(), newServe(), newKeys(), newPair())
	return root
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

// command returns a command that is given the configuration.
func command(use, short, long string, do func(cmd *cobra.Command, cfg *Config) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: short + ".\n\n" + long, Args: noArgs}
	path := cmd.Flags().String("config", defaultConfig, "the configuration's `file`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadConfig(*path)
		if err != nil {
			return err
		}
		return do(cmd, cfg)
	}
	return cmd
}
