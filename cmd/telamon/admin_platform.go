package main

import (
	"encoding/json"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/api/admin"
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
		f.command("prove EVENT", "Prove to others that an event is in the log (c2sp.org/tlog-proof)", exactArgs("an event's ID"), nil,
			func(args []string) (request, error) { return get(path("audit", "events", args[0], "proof")), nil }),
		f.command("checkpoint", "Print the signed checkpoint, to be kept elsewhere", noArgs, nil,
			func([]string) (request, error) { return get("/audit/checkpoint"), nil }))
}
