package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/iam"
)

func newAccount(f *adminFlags) *cobra.Command {
	one := exactArgs("an account")
	at := func(args []string) string { return path("accounts", args[0]) }
	state := func(verb, short string) *cobra.Command {
		return f.command(verb+" ACCOUNT", short, one, nil, func(args []string) (request, error) { return action(at(args), verb), nil })
	}
	return group("account", "Accounts: the tenants",
		f.command("create NAME", "Make an account", exactArgs("a name"), nil, func(args []string) (request, error) {
			return post("/accounts", admin.NewAccount{Name: args[0]}), nil
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

func newUser(f *adminFlags) *cobra.Command {
	var account string
	one := exactArgs("a user's ID")
	at := func(args []string) string { return path("accounts", account, "users", args[0]) }
	state := func(verb, short string) *cobra.Command {
		return inAccount(f.command(verb+" USER", short, one, nil,
			func(args []string) (request, error) { return action(at(args), verb), nil }), &account)
	}
	return group("user", "Users: the persons of an account",
		newUserCreate(f, &account),
		inAccount(f.list("list", "List users", noArgs, []string{"id", "email", "name", "roles", "state"},
			func([]string) string { return path("accounts", account, "users") }), &account),
		inAccount(f.command("show USER", "Show a user", one, nil, func(args []string) (request, error) { return get(at(args)), nil }), &account),
		state("disable", "Refuse a user's logins"),
		state("enable", "End a disable"),
		newUserPassword(f, &account),
		newUserInvite(f, &account),
		newUserRoles(f, &account),
		state("reset-factors", "Remove the second factors of a person who has lost them, and end their sessions"),
		inAccount(final(f.command("delete USER", "Disable a user for ever", one, nil,
			func(args []string) (request, error) { return remove(at(args)), nil })), &account),
	)
}

func newUserCreate(f *adminFlags, account *string) *cobra.Command {
	var in admin.NewUser
	var passwordFile string
	var cmd *cobra.Command
	cmd = f.command("create EMAIL", "Make a user", exactArgs("an e-mail address"), nil, func(args []string) (request, error) {
		in.Email = args[0]
		if passwordFile != "" {
			text, err := readText(cmd, passwordFile)
			if err != nil {
				return request{}, err
			}
			in.Password = strings.TrimRight(text, "\r\n")
		}
		return post(path("accounts", *account, "users"), in), nil
	})
	cmd.Flags().StringVar(&in.Name, "name", "", "the person's name")
	cmd.Flags().StringSliceVar(&in.Roles, "role", nil, "one of "+strings.Join(iam.Roles, ", ")+"; may be given several times")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "a file with the password, - for standard input; without it none is set")
	required(cmd, "name", "role")
	return inAccount(cmd, account)
}

// portalRoles are the codes of the roles of the portal, for help texts.
func portalRoles() string {
	var codes []string
	for _, r := range authz.Roles() {
		if r.Application == authz.Portal {
			codes = append(codes, r.Code)
		}
	}
	return strings.Join(codes, ", ")
}

func newUserInvite(f *adminFlags, account *string) *cobra.Command {
	var in admin.NewInvitation
	cmd := f.command("invite EMAIL", "Ask somebody by mail to become a user, who chooses the password", exactArgs("an e-mail address"), nil,
		func(args []string) (request, error) {
			in.Email = args[0]
			return post(path("accounts", *account, "invitations"), in), nil
		})
	cmd.Flags().StringVar(&in.Language, "language", "", "of the mails, such as de; English without it")
	cmd.Flags().StringSliceVar(&in.Roles, "role", nil, "one of "+portalRoles()+"; may be given several times")
	required(cmd, "role")
	return inAccount(cmd, account)
}

func newUserRoles(f *adminFlags, account *string) *cobra.Command {
	var in admin.Roles
	cmd := f.command("set-roles USER", "Replace a person's roles of the portal; their sessions end", exactArgs("a user's ID"), nil,
		func(args []string) (request, error) {
			return post(path("accounts", *account, "users", args[0], "roles"), in), nil
		})
	cmd.Flags().StringSliceVar(&in.Roles, "role", nil, "one of "+portalRoles()+"; may be given several times")
	required(cmd, "role")
	return inAccount(cmd, account)
}

func newUserPassword(f *adminFlags, account *string) *cobra.Command {
	var file string
	var cmd *cobra.Command
	cmd = f.command("set-password USER", "Replace a user's password", exactArgs("a user's ID"), nil, func(args []string) (request, error) {
		text, err := readText(cmd, file)
		if err != nil {
			return request{}, err
		}
		return post(path("accounts", *account, "users", args[0], "password"), admin.Password{Password: strings.TrimRight(text, "\r\n")}), nil
	})
	cmd.Flags().StringVar(&file, "password-file", "-", "a file with the password, - for standard input")
	return inAccount(cmd, account)
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
