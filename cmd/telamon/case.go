package main

import (
	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/api/admin"
)

func newCase() *cobra.Command {
	f := &adminFlags{}
	var in admin.NewCase
	var reported, outcome string
	var keep bool
	open := f.command("open SERIAL...", "Begin the clock of a report or finding", cobra.ArbitraryArgs, nil, func(args []string) (request, error) {
		var err error
		in.Serials = args
		in.ReportedAt, err = optionalTime("reported-at", reported)
		return post("/cases", in), err
	})
	open.Flags().StringVar(&in.Category, "category", "", "what it is, which says by when (see: telamon case categories)")
	open.Flags().StringVar(&in.Summary, "summary", "", "what was reported, in a few words")
	open.Flags().StringVar(&in.Reporter, "reporter", "", "how to reach who reported it")
	open.Flags().StringVar(&reported, "reported-at", "", "when the report came (default now)")
	required(open, "category", "summary")
	end := f.command("close CASE", "End the clock: what it names is revoked, or need not be", exactArgs("a case's ID"), nil,
		func(args []string) (request, error) {
			return post(path("cases", args[0], "close"), admin.CloseCase{Outcome: outcome, Keep: keep}), nil
		})
	end.Flags().StringVar(&outcome, "outcome", "", "what came of it, in a few words")
	end.Flags().BoolVar(&keep, "keep", false, "its certificates need not be revoked, as the outcome says")
	required(end, "outcome")
	return f.onSocket(group("case", "Reports by which certificates must be revoked within a time", open, end,
		f.list("list", "List cases: open, overdue and closed ones", noArgs, []string{"id", "state", "category", "due_at", "reported_at", "summary"},
			func([]string) string { return "/cases" }),
		f.command("show CASE", "Show a case", exactArgs("a case's ID"), nil, func(args []string) (request, error) { return get(path("cases", args[0])), nil }),
		f.command("categories", "List the categories, with the hours until a certificate must be revoked", noArgs, []string{"category", "hours", "reason"},
			func([]string) (request, error) { return get("/cases/categories"), nil })))
}
