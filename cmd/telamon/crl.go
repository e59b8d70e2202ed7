package main

import (
	"encoding/pem"
	"os"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
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
		publish,
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
