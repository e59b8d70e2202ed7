package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/authz"
)

func newUser(f *adminFlags) *cobra.Command {
	var account string
	one := exactArgs("a user's ID")
	at := func(args []string) string { return path("accounts", account, "users", args[0]) }
	state := func(verb, short string) *cobra.Command {
		return inAccount(f.command(verb+" USER", short, one, nil,
			func(args []string) (request, error) { return action(at(args), verb), nil }), &account)
	}
	return group("user", "Users: the persons of an account, and service users: logins of machines",
		newUserCreate(f, &account), newUserUpdate(f, &account),
		inAccount(f.list("list", "List users", noArgs, []string{"id", "kind", "email", "name", "roles", "state"},
			func([]string) string { return path("accounts", account, "users") }), &account),
		inAccount(f.command("show USER", "Show a user", one, nil, func(args []string) (request, error) { return get(at(args)), nil }), &account),
		state("disable", "Refuse all that a user shows, at once"),
		state("enable", "End a disable; what was itself disabled stays so"),
		state("lock", "Refuse all that a user shows, at once; whether it is disabled stays as it is"),
		state("unlock", "End a lock"),
		newUserPassword(f, &account),
		newUserInvite(f, &account),
		newUserRoles(f, &account),
		state("reset-factors", "Remove the second factors of a person who has lost them, and end their sessions"),
		inAccount(final(f.command("delete USER", "End a user for ever, with their API tokens and certificates", one, nil,
			func(args []string) (request, error) { return remove(at(args)), nil })), &account),
	)
}

func newUserCreate(f *adminFlags, account *string) *cobra.Command {
	var in admin.NewUser
	var passwordFile, ends string
	var service bool
	var cmd *cobra.Command
	cmd = f.command("create EMAIL", "Make a user; the API token of a service user is shown once", exactArgs("an e-mail address"), nil,
		func(args []string) (request, error) {
			in.Email = args[0]
			if service {
				in.Kind = telamon.ServiceUser
			}
			var err error
			if in.EndsAt, err = optionalEnd("ends", ends); err != nil {
				return request{}, err
			}
			if passwordFile != "" {
				text, err := readText(cmd, passwordFile)
				if err != nil {
					return request{}, err
				}
				in.Password = strings.TrimRight(text, "\r\n")
			}
			return post(path("accounts", *account, "users"), in), nil
		})
	cmd.Flags().BoolVar(&service, "service", false, "make a service user, for whom EMAIL is responsible: nothing is sent to it")
	cmd.Flags().StringVar(&in.Name, "name", "", "the person's name, or the service user's friendly name")
	cmd.Flags().StringVar(&in.Description, "description", "", "what a service user is for")
	cmd.Flags().StringSliceVar(&in.Roles, "role", nil, "one of "+strings.Join(authz.RoleCodes(), ", ")+"; may be given several times")
	cmd.Flags().StringVar(&ends, "ends", "", "the last day or second of a service user, such as 2027-12-31")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "a file with a person's password, - for standard input; without it none is set")
	required(cmd, "name", "role")
	return inAccount(cmd, account)
}

func newUserUpdate(f *adminFlags, account *string) *cobra.Command {
	var in admin.UserChange
	var email, name, description, ends string
	var cmd *cobra.Command
	cmd = f.command("update USER", "Change a user; what is not given stays", exactArgs("a user's ID"), nil, func(args []string) (request, error) {
		in.Email, in.Name, in.Description = given(cmd, "email", &email), given(cmd, "name", &name), given(cmd, "description", &description)
		var err error
		in.EndsAt, in.NoEnd, err = endOrNone(ends)
		return put(path("accounts", *account, "users", args[0]), in), err
	})
	cmd.Flags().StringVar(&email, "email", "", "the e-mail address")
	cmd.Flags().StringVar(&name, "name", "", "the name")
	cmd.Flags().StringVar(&description, "description", "", "what a service user is for")
	cmd.Flags().StringSliceVar(&in.Roles, "role", nil, "in place of all roles that the user has; may be given several times")
	cmd.Flags().StringVar(&ends, "ends", "", endUsage)
	return inAccount(cmd, account)
}

// given returns the value of a flag, nil if the flag was not given.
func given(cmd *cobra.Command, flag string, value *string) *string {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	return value
}

const endUsage = "the last day or second, such as 2027-12-31, or none"

// endOrNone reads the flag -ends of a change: "" leaves the end as it is.
func endOrNone(text string) (end *time.Time, none bool, err error) {
	if text == "none" {
		return nil, true, nil
	}
	end, err = optionalEnd("ends", text)
	return end, false, err
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

func newToken(f *adminFlags) *cobra.Command {
	var account string
	one, user := exactArgs("a token's ID"), exactArgs("a user's ID")
	at := func(args []string) string { return path("accounts", account, "tokens", args[0]) }
	ofUser := func(args []string) string { return path("accounts", account, "users", args[0], "tokens") }
	state := func(verb, short string) *cobra.Command {
		return inAccount(f.command(verb+" TOKEN", short, one, nil,
			func(args []string) (request, error) { return action(at(args), verb), nil }), &account)
	}
	var in admin.NewAPIToken
	var ends string
	create := f.command("create USER", "Make an API token of a user; it is shown once", user, nil, func(args []string) (request, error) {
		var err error
		in.EndsAt, err = optionalEnd("ends", ends)
		return post(ofUser(args), in), err
	})
	create.Flags().StringVar(&in.Name, "name", "", "its name, unique among the user's")
	create.Flags().StringVar(&ends, "ends", "", "its last day or second, such as 2027-12-31")
	required(create, "name")
	return group("token", "API tokens of users, for x-api-key",
		inAccount(create, &account), newTokenUpdate(f, &account),
		inAccount(f.command("list USER", "List the API tokens of a user", user, []string{"id", "name", "state", "ends_at", "created_at"},
			func(args []string) (request, error) { return get(ofUser(args)), nil }), &account),
		inAccount(f.command("show TOKEN", "Show an API token, without its secret", one, nil,
			func(args []string) (request, error) { return get(at(args)), nil }), &account),
		state("disable", "Refuse an API token, at once"),
		state("enable", "End a disable"),
		inAccount(final(f.command("delete TOKEN", "End an API token for ever", one, nil,
			func(args []string) (request, error) { return remove(at(args)), nil })), &account),
	)
}

func newTokenUpdate(f *adminFlags, account *string) *cobra.Command {
	var in admin.APITokenChange
	var name, ends string
	var cmd *cobra.Command
	cmd = f.command("update TOKEN", "Change an API token that has not expired; what is not given stays", exactArgs("a token's ID"), nil,
		func(args []string) (request, error) {
			in.Name = given(cmd, "name", &name)
			var err error
			in.EndsAt, in.NoEnd, err = endOrNone(ends)
			return put(path("accounts", *account, "tokens", args[0]), in), err
		})
	cmd.Flags().StringVar(&name, "name", "", "its name")
	cmd.Flags().StringVar(&ends, "ends", "", endUsage)
	return inAccount(cmd, account)
}
