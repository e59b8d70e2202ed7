package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/keycheck"
)

func newBlocklist() *cobra.Command {
	var format, reason string
	cmd := &cobra.Command{
		Use: "blocklist FILE...", Short: "Turn lists of bad keys into one for blocked_keys_file", Args: cobra.ArbitraryArgs,
		Long: "Turn lists of bad keys into one for blocked_keys_file, on standard output. - is standard input.\n" +
			"The formats are " + strings.Join(keycheck.Formats(), ", ") + "; docs/OPERATIONS.md describes them.\n" +
			"What several runs print can be put together: one block of reasons and entries follows the other.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("give a file, or - for standard input")
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			if err := keycheck.WriteBlocklistHead(out, reason); err != nil {
				return usagef("--reason: %w", err)
			}
			for _, path := range args {
				n, err := convertBlocklist(cmd, out, format, path)
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d entries\n", path, n)
			}
			return out.Flush()
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "the format of the files")
	cmd.Flags().StringVar(&reason, "reason", "", "why the keys are bad, in words that finish \"the key is weak: …\"")
	required(cmd, "format", "reason")
	return cmd
}

func convertBlocklist(cmd *cobra.Command, out io.Writer, format, path string) (int, error) {
	if path == "-" {
		return keycheck.Convert(format, cmd.InOrStdin(), out)
	}
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return keycheck.Convert(format, file, out)
}
