package main

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/lifecycle"
)

// newIssuers is "telamon issuer": the life of issuing CAs.
func newIssuers() *cobra.Command {
	f := &adminFlags{}
	cmd := group("issuer", "The life of issuing CAs: plan, rotate, retire; ceremonies with roots that are kept elsewhere",
		f.command("list", "List roots and issuing CAs", noArgs,
			[]string{"id", "role", "status", "series", "subject", "activate_at", "retire_at", "not_after"},
			func([]string) (request, error) { return get("/issuers"), nil }),
		f.command("chains ISSUER", "Print every chain of an issuer", exactArgs("an issuer's ID"), []string{"active", "through", "anchor"},
			func(args []string) (request, error) { return get(path("issuers", args[0], "chains")), nil }),
		newIssuerSchedule(f), newIssuerPlan(f), newIssuerRotate(f), newIssuerRetire(f), newIssuerRevoke(f), newIssuerImport(f), newIssuerSign(),
		newIssuerCrossSign(f), newIssuerUseChain(f))
	cmd.Long = "The life of issuing CAs. What changes something only says what it would do, until -yes is given.\n" +
		"docs/ROTATION.md has the runbooks."
	return f.onSocket(cmd)
}

// act is a flag -yes and what follows from its absence.
type act struct{ yes bool }

func (a *act) flag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.yes, "yes", false, "do it, and do not just say what would be done")
	return cmd
}

// done prints the answer, and that nothing was changed if so.
func (a *act) done(cmd *cobra.Command, f *adminFlags, answer json.RawMessage, columns []string) error {
	if err := f.print(cmd.OutOrStdout(), answer, columns); err != nil {
		return err
	}
	if !a.yes {
		fmt.Fprintln(cmd.ErrOrStderr(), "telamon: nothing was changed; add -yes to carry this out")
	}
	return nil
}

// call makes one call and prints its answer.
func (a *act) call(cmd *cobra.Command, f *adminFlags, req request, columns []string) error {
	answer, err := f.call(cmd, req)
	if err != nil {
		return err
	}
	return a.done(cmd, f, answer, columns)
}

func newIssuerSchedule(f *adminFlags) *cobra.Command {
	var a act
	var every string
	var lead, leaf int
	cmd := &cobra.Command{
		Use: "schedule [SERIES]", Short: "Show when series are rotated, or change it for one", Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				answer, err := f.call(cmd, get("/series"))
				if err != nil {
					return err
				}
				return f.print(cmd.OutOrStdout(), answer, []string{"series", "rotation", "lead_days", "leaf_days", "active", "next_at"})
			}
			in := admin.SeriesSchedule{Rotation: telamon.Rotation(every), LeadDays: lead, DryRun: !a.yes}
			if cmd.Flags().Changed("leaf-days") {
				in.LeafDays = &leaf
			}
			return a.call(cmd, f, post(path("series", args[0], "schedule"), in), nil)
		},
	}
	cmd.Flags().StringVar(&every, "every", "", "quarterly, yearly or manual")
	cmd.Flags().IntVar(&lead, "lead-days", 0, "how many days before a switch the next issuing CA is made, 1 to 400")
	cmd.Flags().IntVar(&leaf, "leaf-days", 0, "the longest certificate in days; 0: told by the services")
	return a.flag(cmd)
}

var plannedColumns = []string{"id", "series", "common_name", "activate_at", "not_after", "signed"}

func newIssuerPlan(f *adminFlags) *cobra.Command {
	var a act
	var ahead int
	var export string
	cmd := &cobra.Command{
		Use: "plan [SERIES]", Short: "Make the next issuing CAs ahead, and export requests for roots that are kept elsewhere", Args: atMost(1),
		Long: "Make the next issuing CAs of one series, or of all that have a schedule, until as many wait as are asked for.\n" +
			"If the root's key is in the keystore they are signed at once. With -export, what waits for a signature is\n" +
			"written to a file: sign it with \"telamon issuer sign\" where the root is, and import the certificates.",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := admin.IssuerPlan{Ahead: ahead, DryRun: !a.yes}
			if len(args) > 0 {
				in.Series = args[0]
			}
			if err := a.call(cmd, f, post("/issuers/plan", in), plannedColumns); err != nil || export == "" {
				return err
			}
			return exportRequests(cmd, f, export)
		},
	}
	cmd.Flags().IntVar(&ahead, "ahead", 1, "how many are to wait, at most 12")
	cmd.Flags().StringVar(&export, "export", "", "write the requests that wait for a signature to this file")
	return a.flag(cmd)
}

func exportRequests(cmd *cobra.Command, f *adminFlags, file string) error {
	answer, err := f.call(cmd, get("/issuers/requests"))
	if err != nil {
		return err
	}
	var held struct {
		Requests []issuance.CARequest `json:"requests"`
	}
	if err := json.Unmarshal(answer, &held); err != nil {
		return err
	}
	if len(held.Requests) == 0 {
		return errors.New("nothing waits for a signature: no file was written")
	}
	text, err := lifecycle.MarshalRequests(held.Requests)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "telamon: %d requests are in %s, SHA-256 %s\n", len(held.Requests), file, lifecycle.Digest(text))
	return nil
}

func newIssuerRotate(f *adminFlags) *cobra.Command {
	var a act
	var at string
	var in admin.IssuerRotation
	cmd := &cobra.Command{
		Use: "rotate SERIES", Short: "Set when the next issuing CA of a series starts, or start it now", Args: exactArgs("a series"),
		Long: "Set when the next issuing CA of a series starts; one is made if none waits. Without -at and -now the\n" +
			"schedule says when. Tokens in flight finish on the old one within eleven minutes, unless -end-tokens ends them.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if in.At, err = optionalTime("at", at); err != nil {
				return err
			}
			in.DryRun = !a.yes
			return a.call(cmd, f, post(path("series", args[0], "rotate"), in), nil)
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "the instant of the switch")
	cmd.Flags().BoolVar(&in.Now, "now", false, "switch now")
	cmd.Flags().BoolVar(&in.EndTokens, "end-tokens", false, "with -now: end the tokens that are bound to the old one")
	return a.flag(cmd)
}

func newIssuerRetire(f *adminFlags) *cobra.Command {
	var a act
	var in admin.IssuerRetirement
	cmd := &cobra.Command{
		Use: "retire ISSUER", Short: "End an issuing CA, or give up one that is planned", Args: exactArgs("an issuer's ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in.DryRun = !a.yes
			return a.call(cmd, f, post(path("issuers", args[0], "retire"), in), nil)
		},
	}
	cmd.Flags().BoolVar(&in.EndTokens, "end-tokens", false, "end the tokens that are bound to it")
	cmd.Flags().BoolVar(&in.NoSuccessor, "no-successor", false, "although it is the active one, so that its series issues nothing")
	return a.flag(cmd)
}

func newIssuerRevoke(f *adminFlags) *cobra.Command {
	var a act
	var reason reasonFlags
	cmd := &cobra.Command{
		Use: "revoke ISSUER", Short: "Have the root revoke the certificate of an issuing CA that was exchanged", Args: exactArgs("an issuer's ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := admin.IssuerRevocation{DryRun: !a.yes}
			var err error
			if in.RevocationReason, err = reason.revocation(); err != nil {
				return err
			}
			return a.call(cmd, f, post(path("issuers", args[0], "revoke"), in), nil)
		},
	}
	reason.add(cmd)
	return a.flag(cmd)
}

func newIssuerImport(f *adminFlags) *cobra.Command {
	var a act
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Import certificates that a root signed elsewhere", Args: exactArgs("a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readText(cmd, args[0])
			if err != nil {
				return err
			}
			blocks, err := splitPEM(text)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			list, err := f.call(cmd, post("/issuers/import", admin.IssuerImport{Certificates: blocks, DryRun: !a.yes}))
			if err != nil {
				return err
			}
			return a.done(cmd, f, list, plannedColumns)
		},
	}
	return a.flag(cmd)
}

// splitPEM returns the certificates of a text, each in PEM. Texts between them are
// dropped.
func splitPEM(text string) ([]string, error) {
	var blocks []string
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a %q, and not only certificates", block.Type)
		}
		blocks = append(blocks, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})))
	}
	if len(blocks) == 0 {
		return nil, errors.New("it holds no certificate in PEM")
	}
	return blocks, nil
}

// newIssuerSign needs no server and no database.
func newIssuerSign() *cobra.Command {
	var a act
	var keys, kekFile, in, out string
	cmd := &cobra.Command{
		Use: "sign", Short: "Sign exported requests with a root, where no server runs", Args: noArgs,
		Long: "Sign requests that \"telamon issuer plan -export\" wrote, with the roots in a directory of keys. It needs no\n" +
			"server, no database and no network. Compare the SHA-256 of the file with what the export printed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := os.ReadFile(in)
			if err != nil {
				return err
			}
			requests, err := lifecycle.ParseRequests(text)
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
			if !a.yes {
				if _, err := signRequests(cmd, store, requests, false); err != nil {
					return err
				}
				fmt.Fprintln(cmd.ErrOrStderr(), "telamon: nothing was signed; add -yes to sign these")
				return nil
			}
			return intoNew(out, func() ([]byte, error) {
				signed, err := signRequests(cmd, store, requests, true)
				return []byte(signed), err
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&keys, "keys", "", "the directory of the root's key")
	flags.StringVar(&kekFile, "kek-file", "", "the key-encryption key")
	flags.StringVar(&in, "in", "", "the requests")
	flags.StringVar(&out, "out", "", "where the certificates go, in PEM")
	required(cmd, "keys", "kek-file", "in", "out")
	return a.flag(cmd)
}

// intoNew makes a file, which must not exist, and then what goes into it: a signature
// that cannot be kept is not made. When it returns nil, the file is durable.
func intoNew(path string, make func() ([]byte, error)) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	content, err := make()
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// signRequests says what each request is for, and signs them all if it is told to: none
// is signed unless all can be.
func signRequests(cmd *cobra.Command, keys *keystore.Keystore, requests []issuance.CARequest, yes bool) (string, error) {
	ceremony := lifecycle.NewCeremony(keys, telamon.SystemClock{}.Now())
	for i := range requests {
		r := &requests[i]
		if _, _, err := ceremony.Root(r); err != nil {
			return "", fmt.Errorf("request %d (%s): %w", i+1, r.CommonName, err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: an issuing CA of path length 0, extended key usages %s, until %s, by %s\n",
			r.CommonName, r.EKUFamily, r.NotAfter.UTC().Format("2006-01-02T15:04:05Z"), r.Root)
	}
	var out strings.Builder
	for i := range requests {
		if !yes {
			break
		}
		cert, err := ceremony.Sign(&requests[i])
		if err != nil {
			return "", fmt.Errorf("request %d (%s): %w", i+1, requests[i].CommonName, err)
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
			return "", err
		}
	}
	return out.String(), nil
}

func newIssuerCrossSign(f *adminFlags) *cobra.Command {
	var a act
	var in admin.NewCross
	var signer, root, file, signerFile, until string
	cmd := &cobra.Command{
		Use: "cross-sign", Short: "Have a root sign another root, or import such a certificate", Args: noArgs,
		Long: "-signer ROOT -root ROOT: a root of ours signs another one of ours; the certificate is kept.\n" +
			"-signer ROOT -in FILE: a root of ours signs a foreign root; the certificate is printed.\n" +
			"-root ROOT -in FILE -signer-file FILE: keeps a certificate of our root that a foreign CA signed.\n" +
			"Chains go on ending at our own root, until \"use-chain\" says otherwise.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.Signer, in.Root, in.DryRun = telamon.IssuerID(signer), telamon.IssuerID(root), !a.yes
			var err error
			if file != "" {
				if in.Certificate, err = readText(cmd, file); err != nil {
					return err
				}
			}
			if signerFile != "" {
				if in.SignerCertificate, err = readText(cmd, signerFile); err != nil {
					return err
				}
			}
			if in.NotAfter, err = optionalTime("not-after", until); err != nil {
				return err
			}
			return a.call(cmd, f, post("/issuers/cross", in), nil)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&signer, "signer", "", "the root that signs, by ID")
	flags.StringVar(&root, "root", "", "the root that is signed, by ID")
	flags.StringVar(&file, "in", "", "a certificate in PEM: of a foreign root, or of ours by a foreign CA")
	flags.StringVar(&signerFile, "signer-file", "", "the certificate of the foreign CA in PEM")
	flags.StringVar(&until, "not-after", "", "the end of the certificate; by default that of the first of the two roots")
	return a.flag(cmd)
}

// atMost checks the number of arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return usagef("unexpected argument %q", args[n])
		}
		return nil
	}
}

func newIssuerUseChain(f *adminFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "use-chain ROOT [CROSS]", Short: "Have trust chains go by a cross certificate, or by the root itself again", Args: atMost(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in admin.UseCross
			if len(args) == 0 {
				return usagef("give a root's ID")
			}
			if len(args) == 2 {
				in.Cross = telamon.CrossID(args[1])
			}
			answer, err := f.call(cmd, put(path("issuers", args[0], "chain"), in))
			if err != nil {
				return err
			}
			return f.print(cmd.OutOrStdout(), answer, nil)
		},
	}
	return final(cmd)
}
