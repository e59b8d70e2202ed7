package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
)

func newCredential(f *adminFlags) *cobra.Command {
	var account string
	one := exactArgs("a credential's ID")
	at := func(args []string) string { return path("accounts", account, "credentials", args[0]) }
	state := func(verb, short string) *cobra.Command {
		return inAccount(f.command(verb+" CREDENTIAL", short, one, nil,
			func(args []string) (request, error) { return action(at(args), verb), nil }), &account)
	}
	var in admin.NewCredential
	create := f.command("create NAME", "Make an API credential; its secret is shown once", exactArgs("a name"), nil,
		func(args []string) (request, error) {
			in.Name = args[0]
			return post(path("accounts", account, "credentials"), in), nil
		})
	specFlags(create, &in)
	create.Flags().StringVar((*string)(&in.MTLS), "mtls", string(telamon.MTLSRequired), "required, or none for partner integrations")
	var allowed []string
	setIPs := f.command("set-ips CREDENTIAL", "Replace the allow-list of addresses; none allows any", one, nil,
		func(args []string) (request, error) {
			return put(at(args)+"/allowed-ips", admin.AllowedIPs{AllowedIPs: allowed}), nil
		})
	setIPs.Flags().StringSliceVar(&allowed, "allow-ip", nil, "an address or prefix; may be given several times")
	var link admin.Relink
	relink := f.command("relink CREDENTIAL", "Move a credential to another subscription and identity; its tokens end", one, nil,
		func(args []string) (request, error) { return post(at(args)+"/relink", link), nil })
	pairFlags(relink, &link.Subscription, &link.Identity)
	return group("credential", "API credentials: key and secret",
		inAccount(create, &account),
		inAccount(f.list("list", "List credentials", noArgs, []string{"id", "name", "api_key", "mtls", "state", "last_used_at"},
			func([]string) string { return path("accounts", account, "credentials") }), &account),
		inAccount(f.command("show CREDENTIAL", "Show a credential", one, nil,
			func(args []string) (request, error) { return get(at(args)), nil }), &account),
		state("disable", "Refuse logins and end tokens, at once"),
		state("enable", "Allow logins again"),
		inAccount(setIPs, &account), inAccount(relink, &account),
		inAccount(final(f.command("delete CREDENTIAL", "Disable a credential for ever", one, nil,
			func(args []string) (request, error) { return remove(at(args)), nil })), &account),
	)
}

func pairFlags(cmd *cobra.Command, subscription *telamon.SubscriptionID, identity *telamon.IdentityID) {
	cmd.Flags().StringVar((*string)(subscription), "subscription", "", "the subscription's ID")
	cmd.Flags().StringVar((*string)(identity), "identity", "", "the identity's ID")
	required(cmd, "subscription", "identity")
}

func specFlags(cmd *cobra.Command, in *admin.NewCredential) {
	pairFlags(cmd, &in.Subscription, &in.Identity)
	cmd.Flags().StringSliceVar(&in.AllowedIPs, "allow-ip", nil, "an address or prefix from which it may be used; may be given several times")
}

func newClientCertificate(f *adminFlags) *cobra.Command {
	var account string
	one := exactArgs("a certificate's ID")
	at := func(args []string) string { return path("accounts", account, "client-certificates", args[0]) }
	state := func(verb, short string) *cobra.Command {
		return f.command(verb+" CERTIFICATE", short, one, nil, func(args []string) (request, error) { return action(at(args), verb), nil })
	}
	var revocation admin.Revocation
	revoke := f.command("revoke CERTIFICATE", "Revoke a certificate for ever", one, nil,
		func(args []string) (request, error) { return post(at(args)+"/revoke", revocation), nil })
	revoke.Flags().StringVar((*string)(&revocation.Reason), "reason", "", "a reason of RFC 5280, Section 5.3.1, such as keyCompromise")
	var add, drop []string
	link := f.command("link CERTIFICATE", "Change the credentials that a certificate is good for", one, nil,
		func(args []string) (request, error) {
			return post(at(args)+"/links", admin.Links{Add: credentialIDs(add), Remove: credentialIDs(drop)}), nil
		})
	link.Flags().StringSliceVar(&add, "add", nil, "a credential's ID; may be given several times")
	link.Flags().StringSliceVar(&drop, "remove", nil, "a credential's ID; may be given several times")
	return group("client-cert", "mTLS certificates of API credentials and of users",
		newClientCertificateIssue(f, &account),
		inAccount(f.list("list", "List mTLS certificates", noArgs, []string{"id", "serial", "state", "not_after", "credentials", "user", "name"},
			func([]string) string { return path("accounts", account, "client-certificates") }), &account),
		inAccount(f.command("show CERTIFICATE", "Show a certificate", one, nil,
			func(args []string) (request, error) { return get(at(args)), nil }), &account),
		inAccount(state("disable", "Refuse a certificate, at once"), &account),
		inAccount(state("enable", "End a disable"), &account),
		inAccount(link, &account), inAccount(final(revoke), &account),
	)
}

func credentialIDs(texts []string) []telamon.CredentialID {
	ids := make([]telamon.CredentialID, len(texts))
	for i, text := range texts {
		ids[i] = telamon.CredentialID(text)
	}
	return ids
}

func newClientCertificateIssue(f *adminFlags, account *string) *cobra.Command {
	var csr, out string
	var credentials []string
	cmd := &cobra.Command{
		Use: "issue", Short: "Issue an mTLS certificate for the key of a CSR, for five years", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := readText(cmd, csr)
			if err != nil {
				return err
			}
			answer, err := f.call(cmd, post(path("accounts", *account, "client-certificates"),
				admin.NewClientCertificate{CSR: text, Credentials: credentialIDs(credentials)}))
			if err != nil {
				return err
			}
			if out != "" {
				var issued admin.IssuedClientCertificate
				if err := json.Unmarshal(answer, &issued); err != nil {
					return err
				}
				if err := os.WriteFile(out, []byte(issued.Certificate+issued.Chain), 0o644); err != nil {
					return err
				}
			}
			return f.print(cmd.OutOrStdout(), answer, nil)
		},
	}
	cmd.Flags().StringVar(&csr, "csr", "", "file of the CSR in PEM, - for standard input")
	cmd.Flags().StringSliceVar(&credentials, "credential", nil, "ID of a credential that it is good for; may be given several times")
	cmd.Flags().StringVar(&out, "out", "", "also write the certificate and its chain to this file")
	required(cmd, "csr", "credential")
	return inAccount(cmd, account)
}

func newOnboard(f *adminFlags) *cobra.Command {
	var account, publicKey, dir string
	var in admin.Onboard
	cmd := &cobra.Command{
		Use: "onboard NAME", Short: "Make a credential and an mTLS certificate for a customer's public key", Args: exactArgs("a name"),
		Long: "Make an API credential whose key and secret only the holder of an RSA private key can read, and an mTLS\n" +
			"certificate for that same key. The first login with both proves that the customer holds it.\n" +
			"Three files are written for the customer: NAME.enc, NAME.crt and NAME.txt, which says what to do.",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readText(cmd, publicKey)
			if err != nil {
				return err
			}
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				return usagef("-out: %s is no directory", dir) // before anything is made
			}
			in.Name, in.PublicKey = args[0], text
			answer, err := f.call(cmd, post(path("accounts", account, "onboard"), in))
			if err != nil {
				return err
			}
			var made admin.Onboarding
			if err := json.Unmarshal(answer, &made); err != nil {
				return err
			}
			if err := deliver(dir, args[0], &made); err != nil {
				return err
			}
			if f.json {
				return f.print(cmd.OutOrStdout(), answer, nil)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "credential %s, certificate %s\nfor the customer: %s.enc, .crt and .txt\n",
				made.Credential.ID, made.ClientCertificate.ID, filepath.Join(dir, args[0]))
			return nil
		},
	}
	cmd.Flags().StringVar(&publicKey, "public-key", "", "file of the customer's RSA public key or CSR in PEM, - for standard input")
	cmd.Flags().StringVar(&dir, "out", ".", "directory of the files for the customer")
	specFlags(cmd, &in.NewCredential)
	required(cmd, "public-key")
	return inAccount(cmd, &account)
}

// deliver writes what goes to the customer. Names of credentials are plain words.
func deliver(dir, name string, made *admin.Onboarding) error {
	decrypt := strings.Replace(made.DecryptCommand, "credential.enc", name+".enc", 1)
	manual := fmt.Sprintf("API credential %s\n\nRead the API key and secret with your private key (key.pem):\n\n  %s\n\n"+
		"Log in with them over TLS with your private key and the certificate in the .crt file.\n", made.Credential.Name, decrypt)
	for suffix, text := range map[string][]byte{
		".enc": made.Encrypted, ".crt": []byte(made.ClientCertificate.Certificate + made.ClientCertificate.Chain), ".txt": []byte(manual),
	} {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), text, 0o600); err != nil {
			return fmt.Errorf("the credential was made, but not delivered; delete it and try again: %w", err)
		}
	}
	return nil
}
