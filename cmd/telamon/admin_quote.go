package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/api/admin"
)

func newQuote(f *adminFlags) *cobra.Command {
	var account, reason string
	one := exactArgs("a quote's ID")
	columns := []string{"id", "account", "state", "total", "currency", "valid_until", "created_at"}
	list := f.list("list", "List quotes, the newest first", noArgs, columns, func([]string) string {
		if account == "" {
			return "/quotes"
		}
		return path("accounts", account, "quotes")
	})
	list.Flags().StringVar(&account, "account", "", "those of this account alone, by name or ID")
	step := func(verb, short string) *cobra.Command {
		return f.command(verb+" QUOTE", short, one, nil, func(args []string) (request, error) {
			return action(path("quotes", args[0]), verb), nil
		})
	}
	cancel := f.command("cancel QUOTE", "End a quote; what is left of the quota of an active one is lost", one, nil,
		func(args []string) (request, error) {
			return post(path("quotes", args[0], "cancel"), admin.CancelQuote{Reason: reason}), nil
		})
	cancel.Flags().StringVar(&reason, "reason", "", "why: its account is told")
	required(cancel, "reason")
	return group("quote", "Quotes: services that are offered to accounts for a price",
		newQuoteCreate(f), list,
		f.command("show QUOTE", "Show a quote", one, nil, func(args []string) (request, error) { return get(path("quotes", args[0])), nil }),
		step("send", "Show a draft to its account, which can accept it in the portal"),
		step("clear", "Say that the credit of an accepted quote is good: it becomes active"),
		final(cancel),
	)
}

func newQuoteCreate(f *adminFlags) *cobra.Command {
	var account, until string
	var lines []string
	var in admin.NewQuote
	cmd := f.command("create", "Make a draft of a quote", noArgs, nil, func([]string) (request, error) {
		var err error
		if in.ValidUntil, err = optionalEnd("until", until); err != nil {
			return request{}, err
		}
		for _, text := range lines {
			line, err := parseQuoteLine(text)
			if err != nil {
				return request{}, err
			}
			in.Lines = append(in.Lines, line)
		}
		return post(path("accounts", account, "quotes"), in), nil
	})
	flags := cmd.Flags()
	flags.StringArrayVar(&lines, "line", nil, "SERVICE,AMOUNT,PRICE[,MONTHS] or SERVICE,AMOUNT,trial[,MONTHS]; once for each service")
	flags.StringVar(&in.Currency, "currency", "EUR", "of the prices (ISO 4217)")
	flags.StringVar(&in.Note, "note", "", "a sentence to the customer")
	flags.StringVar(&until, "until", "", "the last day or second on which it can be accepted (default in 30 days)")
	required(cmd, "line")
	return inAccount(cmd, &account)
}

// parseQuoteLine reads a line of a quote.
func parseQuoteLine(text string) (admin.QuoteLine, error) {
	parts := strings.Split(text, ",")
	wrong := usagef("--line: %q is not SERVICE,AMOUNT,PRICE[,MONTHS]", text)
	if len(parts) < 3 || len(parts) > 4 {
		return admin.QuoteLine{}, wrong
	}
	line := admin.QuoteLine{Service: parts[0], Price: parts[2]}
	var err error
	if line.Amount, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
		return line, wrong
	}
	if parts[2] == "trial" {
		line.Trial, line.Price = true, "0"
	}
	if len(parts) == 4 {
		if line.Months, err = strconv.Atoi(parts[3]); err != nil || line.Months < 1 {
			return line, wrong
		}
	}
	return line, nil
}
