package main

import (
	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/tbs"
)

func newKeyPair(f *adminFlags) *cobra.Command {
	var account string
	one := exactArgs("a key pair's ID")
	at := func(args []string) string { return path("accounts", account, "key-pairs", args[0]) }
	state := func(verb, short string) *cobra.Command {
		return inAccount(f.command(verb+" KEYPAIR", short, one, nil,
			func(args []string) (request, error) { return action(at(args), verb), nil }), &account)
	}
	var in admin.NewKeyPair
	var certificate admin.KeyPairCertificate
	var certify bool
	create := f.command("create NAME", "Make a key pair, whose private half never leaves the keystore", exactArgs("a name"), nil,
		func(args []string) (request, error) {
			in.Name = args[0]
			switch {
			case certify:
				in.Certificate = &certificate
			case certificate != admin.KeyPairCertificate{}:
				return request{}, usagef("--common-name and --days are of a certificate: add --certify")
			}
			return post(path("accounts", account, "key-pairs"), in), nil
		})
	create.Flags().StringVar(&in.KeyType, "type", string(tbs.ECP256), "EC-P256, EC-P384, EC-P521, RSA-2048, RSA-3072 or RSA-4096")
	create.Flags().BoolVar(&certify, "certify", false, "with a certificate of the signing hierarchy")
	create.Flags().StringVar(&certificate.CommonName, "common-name", "", "of the certificate (default: the name)")
	create.Flags().IntVar(&certificate.Days, "days", 0, "how long the certificate is valid, at most 1095 (default 365)")
	var revocation admin.Revocation
	revoke := f.command("revoke KEYPAIR", "Revoke a key pair's certificate and destroy its key", one, nil,
		func(args []string) (request, error) { return post(at(args)+"/revoke", revocation), nil })
	revoke.Flags().StringVar((*string)(&revocation.Reason), "reason", "", "a reason of RFC 5280, Section 5.3.1, such as keyCompromise")
	required(final(revoke), "reason")
	return group("keypair", "Key pairs that sign hashes for an account",
		inAccount(create, &account),
		inAccount(f.list("list", "List key pairs that are not deleted", noArgs, []string{"id", "name", "key_type", "state", "serial", "not_after"},
			func([]string) string { return path("accounts", account, "key-pairs") }), &account),
		inAccount(f.command("show KEYPAIR", "Show a key pair", one, nil,
			func(args []string) (request, error) { return get(at(args)), nil }), &account),
		state("disable", "Sign no more, at once, until it is enabled"),
		state("enable", "Sign again"),
		inAccount(revoke, &account),
		inAccount(final(f.command("delete KEYPAIR", "Destroy a key; its certificate stays good for what it signed", one, nil,
			func(args []string) (request, error) { return remove(at(args)), nil })), &account),
	)
}
