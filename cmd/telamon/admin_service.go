package main

import (
	"encoding/json"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/api/admin"
)

func newService(f *adminFlags) *cobra.Command {
	one := exactArgs("a service")
	return group("service", "Services: a validation policy, issuing CAs and switches",
		newServiceSpec(f, "create NAME", "Make a service", func(in admin.ServiceSpec) request { return post("/services", in) }),
		newServiceSpec(f, "update SERVICE", "Replace all of a service but its name; what was issued stays as it is",
			func(in admin.ServiceSpec) request {
				name := in.Name
				in.Name = ""
				return put(path("services", name), in)
			}),
		f.list("list", "List services", noArgs, []string{"id", "name", "version", "series", "domain_validation", "changed_at"},
			func([]string) string { return "/services" }),
		f.command("show SERVICE", "Show a service with its policy", one, nil,
			func(args []string) (request, error) { return get(path("services", args[0])), nil }),
	)
}

func newServiceSpec(f *adminFlags, use, short string, send func(admin.ServiceSpec) request) *cobra.Command {
	var in admin.ServiceSpec
	var policy string
	var cmd *cobra.Command
	cmd = f.command(use, short, exactArgs("a name"), nil, func(args []string) (request, error) {
		text, err := readText(cmd, policy)
		if err != nil {
			return request{}, err
		}
		if !json.Valid([]byte(text)) {
			return request{}, usagef("-policy: %s is not JSON", policy)
		}
		in.Name, in.Policy = args[0], json.RawMessage(text)
		return send(in), nil
	})
	flags := cmd.Flags()
	flags.StringVar(&policy, "policy", "", "file of the validation policy as JSON, - for standard input")
	flags.StringVar(&in.Series, "series", "", "the issuer series, such as tls-ec (see: telamon admin issuer list)")
	flags.IntVar(&in.Version, "version", 0, "for update: the version that is replaced")
	flags.BoolVar(&in.DomainValidation, "domain-validation", false, "names must be covered by verified domain claims")
	flags.BoolVar(&in.StrictContent, "strict-content", false, "the content and dated limits of public CAs")
	flags.BoolVar(&in.StrictCAA, "strict-caa", false, "CAA with DNSSEC")
	flags.BoolVar(&in.StrictMPIC, "strict-mpic", false, "multi-perspective corroboration")
	flags.BoolVar(&in.Unlimited, "unlimited", false, "no quota is drawn")
	flags.StringToStringVar(&in.Sample, "sample", nil, "member=text of an identity with which placeholders are tried out")
	required(cmd, "policy", "series")
	return cmd
}

func newSubscription(f *adminFlags) *cobra.Command {
	var account string
	return group("subscription", "Subscriptions: an account's right to a service",
		inAccount(f.command("create SERVICE", "Subscribe an account to a service, without quota", exactArgs("a service"), nil,
			func(args []string) (request, error) {
				return post(path("accounts", account, "subscriptions"), admin.NewSubscription{Service: args[0]}), nil
			}), &account),
		inAccount(f.list("list", "List subscriptions", noArgs, []string{"id", "service", "created_at"},
			func([]string) string { return path("accounts", account, "subscriptions") }), &account),
	)
}

func newQuota(f *adminFlags) *cobra.Command {
	var account, from, until string
	one := exactArgs("a subscription's ID")
	at := func(args []string) string { return path("accounts", account, "subscriptions", args[0], "lots") }
	grant := f.command("grant SUBSCRIPTION AMOUNT", "Add a lot of certificates to a subscription's quota",
		exactArgs("a subscription's ID", "an amount"), nil, func(args []string) (request, error) {
			amount, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil {
				return request{}, usagef("%q is no amount", args[1])
			}
			in := admin.NewLot{Amount: amount}
			if in.EndsAt, err = parseTime("until", until); err != nil {
				return request{}, err
			}
			in.StartsAt, err = optionalTime("from", from)
			return post(at(args), in), err
		})
	grant.Flags().StringVar(&until, "until", "", "when what is left of it is lost")
	grant.Flags().StringVar(&from, "from", "", "when it begins (default now)")
	required(grant, "until")
	return group("quota", "Quota: lots of certificates, drawn oldest-expiring first",
		inAccount(grant, &account),
		inAccount(f.command("list SUBSCRIPTION", "List the lots of a subscription", one,
			[]string{"id", "amount", "used", "starts_at", "expires_at"},
			func(args []string) (request, error) { return get(at(args)), nil }), &account),
	)
}
