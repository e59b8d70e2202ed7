// Command telamon is a certificate platform in one program: the server, the tools
// of its operator, a playground and a bench. Each command's -help is its manual.
//
// The exit status is 0 for success, 1 if the work failed or was refused, 2 if the
// command line is wrong, and 3 if a verification found problems.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/app"
)

// The exit statuses.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitProblems = 3
)

// errProblems ends a verification that found problems, which are printed.
var errProblems = errors.New("the verification found problems")

// heapGrowth is how far the heap grows over what is in use before it is collected,
// in percent. What is in use is some ten megabytes, so that Go's own 100 collects
// many times a second under load; measured, that takes a tenth of the rate. The
// variable GOGC says otherwise.
const heapGrowth = 300

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
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
	case errors.Is(err, errProblems):
		fmt.Fprintf(errOut, "telamon: %s\n", err)
		return exitProblems
	case errors.As(err, &usage):
		fmt.Fprintf(errOut, "telamon: %s\nsee: %s --help\n", err, called.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(errOut, "telamon: %s\n", err)
	return exitFailed
}

// longFlags turns -flag into --flag, as Go's own tools spell long flags. Flags of
// one letter, numbers and what follows -- stay as they are.
func longFlags(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		if arg == "--" {
			copy(out[i:], args[i:])
			break
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		if strings.HasPrefix(arg, "-") && len(name) > 1 && name[0] >= 'a' && name[0] <= 'z' {
			arg = "-" + arg
		}
		out[i] = arg
	}
	return out
}

// A usageError is a wrong command line.
type usageError struct{ cause error }

func (e *usageError) Error() string { return e.cause.Error() }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use: "telamon", Short: "A certificate platform: CA, RA, Atlas v2 API and client certificates in one program",
		Long: "A certificate platform: CA, RA, Atlas v2 API and client certificates in one program.\n" +
			"Flags may be written with one dash or two.",
		SilenceUsage: true, SilenceErrors: true, Version: app.Version(),
		Args: noCommand, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newServe(), newInit(), newConfig(), newAdmin(), newAudit(), newStore(), newDev(), newBench(), newPerspective(),
		newBlocklist(), newVersion())
	root.AddCommand(newBackup(), newRestore(), newDoctor())
	root.AddCommand(newRevoke(), newKey(), newIssuers())
	root.AddCommand(newApproval(), newOperatorToken(), newCase())
	root.AddCommand(newCRL())
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), app.Version())
			return err
		},
	}
}

// noArgs and exactArgs check the number of arguments.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}

func exactArgs(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usagef("give %s", strings.Join(names[len(args):], " and "))
		}
		if len(args) > len(names) {
			return usagef("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// noCommand is for commands that only hold others: an argument should have been the
// name of one of them.
func noCommand(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unknown command %q", args[0])
	}
	return nil
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// required marks flags that must be given, in their help too.
func required(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		cmd.Flags().Lookup(name).Usage += " (required)"
	}
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		for _, name := range names {
			if !cmd.Flags().Changed(name) {
				return usagef("give --%s", name)
			}
		}
		if check != nil {
			return check(cmd, args)
		}
		return nil
	}
}
