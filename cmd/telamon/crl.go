package main

import (
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/crl"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lifecycle"
)

// crlColumns are those of lists of CRLs.
var crlColumns = []string{"issuer", "shard", "number", "this_update", "next_update", "entries", "size", "due", "state", "problem"}

// newCRL returns the commands about the CRLs of a running server.
func newCRL() *cobra.Command {
	f := &adminFlags{}
	var issuer string
	publish := f.command("publish", "Publish CRLs now, whether they are due or not", noArgs, crlColumns[:7],
		func([]string) (request, error) {
			return post("/crls/publish", admin.PublishCRLs{Issuer: telamon.IssuerID(issuer)}), nil
		})
	publish.Flags().StringVar(&issuer, "issuer", "", "of this issuer alone, by its ID")
	return f.onSocket(group("crl", "The CRLs of a running server",
		f.command("list", "List the CRL of each shard and when the next one is due", noArgs, crlColumns,
			func([]string) (request, error) { return get("/crls"), nil }),
		publish, newCRLRequest(f), newCRLSign(),
		f.command("import FILE", "Publish a CRL that was signed elsewhere, from a file in DER or PEM", exactArgs("a file"), nil,
			func(args []string) (request, error) {
				der, err := os.ReadFile(args[0])
				if err != nil {
					return request{}, err
				}
				if block, _ := pem.Decode(der); block != nil {
					der = block.Bytes
				}
				return post("/crls/import", admin.ImportCRL{CRL: der}), nil
			})))
}

// newCRLRequest writes what a ceremony needs to sign the CRL of a root that is offline.
func newCRLRequest(f *adminFlags) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "request ISSUER", Short: "Write a request for the next CRL of a root whose key is elsewhere", Args: exactArgs("an issuer's ID"),
		Long: "Write a request for the next CRL of a root whose key is elsewhere. Sign it there with \"telamon crl sign\", and\n" +
			"publish what comes back with \"telamon crl import\".",
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := f.call(cmd, get(path("crls", args[0], "request")))
			if err != nil {
				return err
			}
			request, err := crl.ParseRequest(answer)
			if err != nil {
				return err
			}
			text, err := request.Marshal()
			if err != nil {
				return err
			}
			if err := os.WriteFile(out, text, 0o644); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "telamon: %s, SHA-256 %s\n", out, lifecycle.Digest(text))
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "where the request goes")
	required(cmd, "out")
	return cmd
}

// newCRLSign signs such a request, where no server runs.
func newCRLSign() *cobra.Command {
	var a act
	var keys, kekFile, in, out string
	cmd := &cobra.Command{
		Use: "sign", Short: "Sign a requested CRL with a root, where no server runs", Args: noArgs,
		Long: "Sign a CRL that \"telamon crl request\" asked for, with the root in a directory of keys. It needs no server, no\n" +
			"database and no network. Compare the SHA-256 of the file with what the request printed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := os.ReadFile(in)
			if err != nil {
				return err
			}
			request, err := crl.ParseRequest(text)
			if err != nil {
				return err
			}
			kek, err := keystore.ReadKEK(kekFile)
			if err != nil {
				return err
			}
			store, err := keystore.OpenOffline(keystore.Config{Dir: keys, KEK: kek, Clock: telamon.SystemClock{}})
			if err != nil {
				return err
			}
			defer store.Close()
			fmt.Fprintf(cmd.ErrOrStderr(), "telamon: %s, SHA-256 %s\n", in, lifecycle.Digest(text))
			fmt.Fprintf(cmd.OutOrStdout(), "a CRL of %s, number %d, good for %s, with %d entries\n",
				request.Issuer, request.Number, time.Duration(request.Lifetime)*time.Second, len(request.Entries))
			for _, e := range request.Entries {
				fmt.Fprintf(cmd.OutOrStdout(), "  %s, revoked at %s, %s\n", e.Serial, e.RevokedAt.UTC().Format(time.RFC3339), e.Reason)
			}
			if !a.yes {
				fmt.Fprintln(cmd.ErrOrStderr(), "telamon: nothing was signed; add -yes to sign it")
				return nil
			}
			return intoNew(out, func() ([]byte, error) {
				return lifecycle.NewCeremony(store, telamon.SystemClock{}.Now()).SignCRL(request)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&keys, "keys", "", "the directory of the root's key")
	flags.StringVar(&kekFile, "kek-file", "", "the key-encryption key")
	flags.StringVar(&in, "in", "", "the request")
	flags.StringVar(&out, "out", "", "where the CRL goes, in DER")
	required(cmd, "keys", "kek-file", "in", "out")
	return a.flag(cmd)
}
