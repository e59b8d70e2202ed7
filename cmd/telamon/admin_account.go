package main

import (
	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
)

func newAccount(f *adminFlags) *cobra.Command {
	one := exactArgs("an account")
	at := func(args []string) string { return path("accounts", args[0]) }
	state := func(verb, short string) *cobra.Command {
		return f.command(verb+" ACCOUNT", short, one, nil, func(args []string) (request, error) { return action(at(args), verb), nil })
	}
	return group("account", "Accounts: the tenants",
		newAccountPeriod(f, "create NAME", "Make an account", exactArgs("a name"), func(args []string, period admin.ServicePeriod) request {
			return post("/accounts", admin.NewAccount{Name: args[0], ServicePeriod: period})
		}),
		newAccountPeriod(f, "update ACCOUNT", "Replace the service period of an account: a bound that is not given is none", one,
			func(args []string, period admin.ServicePeriod) request {
				return put(at(args)+"/service-period", period)
			}),
		f.list("list", "List accounts", noArgs, []string{"id", "name", "state", "created_at"}, func([]string) string { return "/accounts" }),
		f.command("show ACCOUNT", "Show an account", one, nil, func(args []string) (request, error) { return get(at(args)), nil }),
		state("disable", "Refuse all logins and tokens of an account, at once"),
		state("enable", "End a disable"),
		f.command("make-staff ACCOUNT", "Say that an account is the CA's own: its users can have the roles of the staff", one, nil,
			func(args []string) (request, error) { return action(at(args), "make-staff"), nil }),
		final(f.command("delete ACCOUNT", "Disable an account for ever", one, nil,
			func(args []string) (request, error) { return remove(at(args)), nil })),
	)
}

// newAccountPeriod is a command that gives an account a service period.
func newAccountPeriod(f *adminFlags, use, short string, args cobra.PositionalArgs, do func([]string, admin.ServicePeriod) request) *cobra.Command {
	var starts, ends string
	cmd := f.command(use, short, args, nil, func(args []string) (request, error) {
		var period admin.ServicePeriod
		var err error
		if period.StartsAt, err = optionalTime("starts", starts); err != nil {
			return request{}, err
		}
		period.EndsAt, err = optionalEnd("ends", ends)
		return do(args, period), err
	})
	cmd.Flags().StringVar(&starts, "starts", "", "when its users may begin to act, such as 2027-01-01")
	cmd.Flags().StringVar(&ends, "ends", "", "the last day or second on which they may act, such as 2027-12-31")
	return cmd
}

func newIdentity(f *adminFlags) *cobra.Command {
	var account string
	one := exactArgs("an identity's ID")
	at := func(args []string) string { return path("accounts", account, "identities", args[0]) }
	create, edit := newIdentityData(f, &account)
	return group("identity", "Identities: vetted data that subjects may carry",
		create, edit,
		inAccount(f.list("list", "List identities", noArgs, []string{"id", "name", "state", "expires_at"},
			func([]string) string { return path("accounts", account, "identities") }), &account),
		inAccount(f.command("show IDENTITY", "Show an identity", one, nil,
			func(args []string) (request, error) { return get(at(args)), nil }), &account),
		newIdentityMove(f, &account),
	)
}

func newIdentityData(f *adminFlags, account *string) (create, edit *cobra.Command) {
	var data map[string]string
	create = f.command("create NAME", "Make a draft of an identity", exactArgs("a name"), nil, func(args []string) (request, error) {
		return post(path("accounts", *account, "identities"), admin.IdentityData{Name: args[0], Data: data}), nil
	})
	edit = f.command("edit IDENTITY NAME", "Replace the name and data of a draft", exactArgs("an identity's ID", "a name"), nil,
		func(args []string) (request, error) {
			return put(path("accounts", *account, "identities", args[0]), admin.IdentityData{Name: args[1], Data: data}), nil
		})
	for _, cmd := range []*cobra.Command{create, edit} {
		cmd.Flags().StringToStringVar(&data, "data", nil, "member=text, such as organization=\"Example Ltd\"; may be given several times")
		required(cmd, "data")
		inAccount(cmd, account)
	}
	return create, edit
}

func newIdentityMove(f *adminFlags, account *string) *cobra.Command {
	var in admin.IdentityMove
	var to, expires string
	cmd := f.command("move IDENTITY", "Move an identity to another state of its vetting", exactArgs("an identity's ID"), nil,
		func(args []string) (request, error) {
			var err error
			in.To = telamon.IdentityState(to)
			in.ExpiresAt, err = optionalTime("expires-at", expires)
			return post(path("accounts", *account, "identities", args[0], "move"), in), err
		})
	cmd.Flags().StringVar(&to, "to", "", "queued, processed, active, rejected, expired or withdrawn")
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why; needed to reject")
	cmd.Flags().StringVar(&expires, "expires-at", "", "for active: when the vetting must be repeated, such as 2027-12-31")
	required(cmd, "to")
	return inAccount(cmd, account)
}
