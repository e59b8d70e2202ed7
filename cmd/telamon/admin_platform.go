package main

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/app"
)

func newIssuer(f *adminFlags) *cobra.Command {
	return group("issuer", "Roots and issuing CAs",
		f.command("list", "List the CAs", noArgs, []string{"id", "role", "status", "series", "subject", "not_after"},
			func([]string) (request, error) { return get("/issuers"), nil }))
}

func newCertificate(f *adminFlags) *cobra.Command {
	return group("certificate", "Issued certificates",
		f.command("evidence SERIAL", "Say how the names of a certificate were validated, and what CAA said", exactArgs("a serial number"), nested,
			func(args []string) (request, error) { return get(path("certificates", args[0], "evidence")), nil }))
}

func newStatus(f *adminFlags) *cobra.Command {
	return f.command("status", "Say how the server does", noArgs, nil, func([]string) (request, error) { return get("/status"), nil })
}

func newAuditEvents(f *adminFlags) *cobra.Command {
	filter := map[string]*string{}
	var newest bool
	var limit int
	list := f.command("list", "List audit events", noArgs, []string{"at", "actor", "action", "object", "result", "address", "account"},
		func([]string) (request, error) {
			query := url.Values{"newest": {strconv.FormatBool(newest)}, "limit": {itoa(limit)}}
			for name, value := range filter {
				if *value != "" {
					query.Set(name, *value)
				}
			}
			return get("/audit/events?" + query.Encode()), nil
		})
	for name, help := range map[string]string{
		"account": "of this account, by name or ID", "actor": "by this credential or kind of actor", "action": "such as certificate.issue",
		"object": "of this ID, serial or name", "result": "ok, or the code of a refusal", "from": "at this time or later",
		"to": "before this time", "after": "go on after this event",
	} {
		filter[name] = list.Flags().String(name, "", help)
	}
	list.Flags().BoolVar(&newest, "newest", true, "the newest first")
	list.Flags().IntVar(&limit, "limit", 100, "how many, at most 1000")
	verify := newVerify(func(cmd *cobra.Command, in admin.Verify) (json.RawMessage, error) {
		return f.call(cmd, post("/audit/verify", in))
	}, f)
	return group("audit", "The audit log of a running server", list, verify,
		f.command("checkpoint", "Print the signed checkpoint, to be kept elsewhere", noArgs, nil,
			func([]string) (request, error) { return get("/audit/checkpoint"), nil }))
}

// newAudit is for a server that does not run, or that nobody wants to ask.
func newAudit() *cobra.Command {
	var config, verifier string
	f := &adminFlags{}
	verify := newVerify(func(cmd *cobra.Command, in admin.Verify) (json.RawMessage, error) {
		found, err := verifyDatabase(cmd.Context(), config, verifier, in)
		if err != nil {
			return nil, err
		}
		return json.Marshal(found)
	}, f)
	verify.Flags().StringVarP(&config, "config", "c", defaultConfig, "the configuration, which names the database")
	verify.Flags().StringVar(&verifier, "verifier", "", "the verifier key of the log's checkpoints, kept elsewhere; without it, that of the keystore")
	verify.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return group("audit", "Verify the audit log of a database", verify)
}

// verifyDatabase verifies the log of the database that a configuration names. The
// server may run or not.
func verifyDatabase(ctx context.Context, config, key string, in admin.Verify) (*admin.Verification, error) {
	cfg, err := app.LoadConfig(config)
	if err != nil {
		return nil, err
	}
	if key == "" {
		if key, err = app.AuditVerifierKey(cfg); err != nil {
			return nil, err
		}
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, usagef("--verifier: %w", err)
	}
	db, err := app.OpenDatabase(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return admin.VerifyLog(ctx, db, verifier, in, telamon.SystemClock{}.Now())
}

// newVerify returns a command that verifies an audit log and prints what it found.
func newVerify(do func(*cobra.Command, admin.Verify) (json.RawMessage, error), f *adminFlags) *cobra.Command {
	var files []string
	var purged string
	cmd := &cobra.Command{
		Use: "verify", Short: "Verify the whole audit log: exit status 3 if anything was altered, removed or reordered", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var in admin.Verify
			var err error
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				in.Checkpoints = append(in.Checkpoints, string(text))
			}
			if in.PurgedBefore, err = optionalTime("purged-before", purged); err != nil {
				return err
			}
			answer, err := do(cmd, in)
			if err != nil {
				return err
			}
			if err := f.print(cmd.OutOrStdout(), answer, nil); err != nil {
				return err
			}
			var found admin.Verification
			if err := json.Unmarshal(answer, &found); err != nil {
				return err
			}
			if !found.OK {
				return errProblems
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&files, "checkpoint", nil, "file of a checkpoint that was kept; may be given several times")
	cmd.Flags().StringVar(&purged, "purged-before", "", "events of before this time may be missing")
	return cmd
}
