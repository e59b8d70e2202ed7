package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
)

// pollEvery is how often work in the background is looked at.
const pollEvery = 200 * time.Millisecond

// follow shows how a bulk revocation goes on, until it leaves the state.
func (f *adminFlags) follow(cmd *cobra.Command, answer json.RawMessage, state telamon.BulkState) (json.RawMessage, error) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	last := ""
	for {
		var b admin.Bulk
		if err := json.Unmarshal(answer, &b); err != nil {
			return nil, err
		}
		if b.State != state {
			return answer, nil
		}
		if line := fmt.Sprintf("%s: %s, %d read, %d found, %d revoked", b.ID, b.State, b.Examined, b.Matched, b.Revoked); line != last {
			fmt.Fprintln(cmd.ErrOrStderr(), line)
			last = line
		}
		select {
		case <-cmd.Context().Done():
			return nil, cmd.Context().Err()
		case <-ticker.C:
		}
		var err error
		if answer, err = f.call(cmd, get(path("revocations", b.ID.String()))); err != nil {
			return nil, err
		}
	}
}

// showPlan waits until a plan is counted, and shows it and how to go on.
func (f *adminFlags) showPlan(cmd *cobra.Command, answer json.RawMessage) error {
	answer, err := f.follow(cmd, answer, telamon.BulkCounting)
	if err != nil {
		return err
	}
	if err := f.print(cmd.OutOrStdout(), answer, nil); err != nil {
		return err
	}
	var b admin.Bulk
	if err := json.Unmarshal(answer, &b); err != nil {
		return err
	}
	if b.Matched > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "nothing was revoked yet; to revoke these %d: telamon revoke begin %s\n", b.Matched, b.ID)
	}
	return nil
}

// reasonFlags are why something is revoked.
type reasonFlags struct{ reason, compromised string }

func (r *reasonFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.reason, "reason", "", "unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation or privilegeWithdrawn")
	cmd.Flags().StringVar(&r.compromised, "compromised-at", "", "when the key was compromised, which becomes the revocation date")
	required(cmd, "reason")
}

func (r *reasonFlags) revocation() (admin.RevocationReason, error) {
	at, err := optionalTime("compromised-at", r.compromised)
	return admin.RevocationReason{Reason: telamon.RevocationReason(r.reason), CompromisedAt: at}, err
}

func newRevoke() *cobra.Command {
	f := &adminFlags{}
	cmd := group("revoke", "Revoke certificates: one, or all that a filter selects",
		newRevokeCertificate(f), newRevokePlan(f), newRevokeBegin(f),
		f.list("list", "List bulk revocations", noArgs, []string{"id", "state", "matched", "revoked", "reason", "requested_by", "created_at"},
			func([]string) string { return "/revocations" }),
		f.command("show REVOCATION", "Show a bulk revocation", exactArgs("a bulk revocation's ID"), nil,
			func(args []string) (request, error) { return get(path("revocations", args[0])), nil }))
	return f.onSocket(cmd)
}

func newRevokeCertificate(f *adminFlags) *cobra.Command {
	var reason reasonFlags
	var issuer string
	cmd := final(&cobra.Command{
		Use: "certificate SERIAL", Short: "Revoke one certificate; for keyCompromise, block its key and look for others", Args: exactArgs("a serial number"),
		Long: "Revoke one certificate. For keyCompromise, its key is blocked, and other certificates for it are looked for.\n\n" +
			"With --issuer, a certificate is revoked that the issuing CA has signed and that is in no ledger, since it was\n" +
			"issued after the backup from which the database was restored. Its key is not known: \"telamon key block\".",
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := reason.revocation()
			if err != nil {
				return err
			}
			answer, err := f.call(cmd, post(path("certificates", args[0], "revoke"), admin.RevokeCertificate{Issuer: telamon.IssuerID(issuer), RevocationReason: in}))
			if err != nil {
				return err
			}
			var out struct {
				Siblings json.RawMessage `json:"siblings"`
			}
			if err := json.Unmarshal(answer, &out); err != nil {
				return err
			}
			if len(out.Siblings) == 0 {
				return f.print(cmd.OutOrStdout(), answer, nil)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is revoked and its key is blocked; other certificates for the key:\n", args[0])
			return f.showPlan(cmd, out.Siblings)
		},
	})
	cmd.Flags().StringVar(&issuer, "issuer", "", "the ID of the issuing CA, for a certificate that was lost when the database was restored")
	reason.add(cmd)
	return cmd
}

func newRevokePlan(f *adminFlags) *cobra.Command {
	var reason reasonFlags
	var filter telamon.RevocationFilter
	var issuer, account, identity, from, until string
	cmd := &cobra.Command{
		Use: "plan", Short: "Count what a filter selects, and revoke nothing", Args: noArgs,
		Long: "Count the certificates that a filter selects, those that meet all its flags and are neither revoked nor\n" +
			"expired, and show some of them. Nothing is revoked: \"telamon revoke begin\" does that.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			why, err := reason.revocation()
			if err != nil {
				return err
			}
			if filter.From, err = optionalTime("from", from); err != nil {
				return err
			}
			if filter.Until, err = optionalTime("until", until); err != nil {
				return err
			}
			filter.Issuer, filter.Account, filter.Identity = telamon.IssuerID(issuer), telamon.AccountID(account), telamon.IdentityID(identity)
			answer, err := f.call(cmd, post("/revocations", admin.NewBulk{Filter: filter, RevocationReason: why}))
			if err != nil {
				return err
			}
			return f.showPlan(cmd, answer)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&issuer, "issuer", "", "of this issuing CA's ID")
	flags.StringVar(&filter.Key, "key", "", "for this key: SHA-256 of its SubjectPublicKeyInfo, in hexadecimal")
	flags.StringVar(&filter.Domain, "domain", "", "for this DNS name")
	flags.BoolVar(&filter.Tree, "tree", false, "and every name below the domain")
	flags.StringVar(&account, "account", "", "of this account, by name or ID")
	flags.StringVar(&identity, "identity", "", "of this identity's ID")
	flags.StringVar(&from, "from", "", "issued at this time or later")
	flags.StringVar(&until, "until", "", "issued at this time or before")
	reason.add(cmd)
	return cmd
}

func newRevokeBegin(f *adminFlags) *cobra.Command {
	return final(&cobra.Command{
		Use: "begin REVOCATION", Short: "Revoke what a plan has counted", Args: exactArgs("a bulk revocation's ID"),
		Long: "Revoke what a plan has counted, in the background; the command shows how it goes on. If it is stopped, or the\n" +
			"server, the work goes on all the same.",
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := f.call(cmd, action(path("revocations", args[0]), "begin"))
			if err != nil {
				return err
			}
			if answer, err = f.follow(cmd, answer, telamon.BulkRevoking); err != nil {
				return err
			}
			return f.print(cmd.OutOrStdout(), answer, nil)
		},
	})
}

func newKey() *cobra.Command {
	f := &adminFlags{}
	var file, account string
	var block *cobra.Command
	block = f.command("block [HASH]", "Certify a key no more, for anybody", cobra.MaximumNArgs(1), nil, func(args []string) (request, error) {
		var in admin.BlockKey
		switch {
		case len(args) == 1 && file == "":
			in.Key = args[0]
		case len(args) == 0 && file != "":
			var err error
			if in.PEM, err = readText(block, file); err != nil {
				return request{}, err
			}
		default:
			return request{}, usagef("give either the SHA-256 of a SubjectPublicKeyInfo or --file")
		}
		return post("/keys", in), nil
	})
	block.Flags().StringVar(&file, "file", "", "a public key, CSR or certificate in PEM, - for standard input")
	unblock := f.command("unblock HASH", "Certify a key again that staff or an account has blocked", exactArgs("a key's hash"), nil,
		func(args []string) (request, error) {
			query := ""
			if account != "" {
				query = "?account=" + url.QueryEscape(account)
			}
			return remove(path("keys", args[0]) + query), nil
		})
	unblock.Flags().StringVar(&account, "account", "", "end what this account has said of the key, by name or ID")
	cmd := group("key", "Keys that are certified no more", block, unblock,
		f.list("list", "List blocked keys", noArgs, []string{"key", "account", "source", "serial", "at"}, func([]string) string { return "/keys" }))
	return f.onSocket(cmd)
}
