package main

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/api/admin"
)

func newApproval() *cobra.Command {
	f := &adminFlags{}
	one := exactArgs("an approval's ID")
	at := func(args []string) string { return path("approvals", args[0]) }
	var hash string
	approve := f.command("approve APPROVAL", "Approve what another operator asks for, and carry it out", one, nil,
		func(args []string) (request, error) {
			return post(at(args)+"/approve", admin.Approve{SHA256: hash}), nil
		})
	approve.Flags().StringVar(&hash, "sha256", "", "the hash of the request that you have looked at (see: telamon approval show)")
	required(approve, "sha256")
	return f.onSocket(group("approval", "Acts that wait for the approval of a second operator",
		f.list("list", "List them", noArgs, []string{"id", "state", "action", "summary", "requested_by", "decided_by", "outcome", "expires_at"},
			func([]string) string { return "/approvals" }),
		f.command("show APPROVAL", "Show exactly what would be carried out", one, nil,
			func(args []string) (request, error) { return get(at(args)), nil }),
		approve,
		f.command("reject APPROVAL", "Reject what another operator asks for, or withdraw what you did", one, nil,
			func(args []string) (request, error) { return action(at(args), "reject"), nil })))
}

func newOperatorToken() *cobra.Command {
	return &cobra.Command{
		Use: "operator-token FILE", Short: "Make an operator's token, and print the hash for the configuration", Args: exactArgs("a file"),
		Long: "Make a token by which an operator shows who it is, write it to a new file that its owner alone can read, and\n" +
			"print its hash for token_sha256. Each operator does this alone: nobody else needs to see the token.",
		RunE: func(cmd *cobra.Command, args []string) error {
			token := rand.Text() + rand.Text()
			file, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(file, token); err != nil {
				file.Close()
				return err
			}
			if err := file.Close(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "token_sha256: %x\n", sha256.Sum256([]byte(token)))
			return err
		},
	}
}
