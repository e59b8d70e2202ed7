package main

import (
	"encoding/json"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon/internal/api/admin"
)

func newService(f *adminFlags) *cobra.Command {
	return group("service", "Services: a validation policy, issuing CAs and switches",
		newServiceCreate(f), newServiceUpdate(f),
		f.list("list", "List services", noArgs, []string{"id", "name", "version", "series", "domain_validation", "changed_at"},
			func([]string) string { return "/services" }),
		f.command("show SERVICE", "Show a service with its policy", exactArgs("a service"), nil,
			func(args []string) (request, error) { return get(path("services", args[0])), nil }),
	)
}

// serviceFlags are what is said of a service. With none of them given, a service
// that exists stays as it is.
type serviceFlags struct {
	policy string
	spec   admin.ServiceSpec
}

func (v *serviceFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&v.policy, "policy", "", "file of the validation policy as JSON, - for standard input")
	flags.StringVar(&v.spec.Series, "series", "", "the issuer series, such as tls-ec (see: telamon admin issuer list)")
	flags.BoolVar(&v.spec.DomainValidation, "domain-validation", false, "names must be covered by verified domain claims")
	flags.BoolVar(&v.spec.StrictContent, "strict-content", false, "the content and dated limits of public CAs")
	flags.BoolVar(&v.spec.StrictCAA, "strict-caa", false, "CAA with DNSSEC")
	flags.BoolVar(&v.spec.StrictMPIC, "strict-mpic", false, "multi-perspective corroboration")
	flags.BoolVar(&v.spec.Unlimited, "unlimited", false, "no quota is drawn")
	flags.BoolVar(&v.spec.StickyTokens, "sticky-tokens", false, "a reasserted claim keeps its token (private services)")
	flags.StringToStringVar(&v.spec.Sample, "sample", nil, "member=text of an identity with which placeholders are tried out")
}

// lay lays the flags that were given over spec.
func (v *serviceFlags) lay(cmd *cobra.Command, spec *admin.ServiceSpec) error {
	if cmd.Flags().Changed("policy") {
		text, err := readText(cmd, v.policy)
		if err != nil {
			return err
		}
		if !json.Valid([]byte(text)) {
			return usagef("--policy: %s is not JSON", v.policy)
		}
		spec.Policy = json.RawMessage(text)
	}
	for name, set := range map[string]func(){
		"series":            func() { spec.Series = v.spec.Series },
		"domain-validation": func() { spec.DomainValidation = v.spec.DomainValidation },
		"strict-content":    func() { spec.StrictContent = v.spec.StrictContent },
		"strict-caa":        func() { spec.StrictCAA = v.spec.StrictCAA },
		"strict-mpic":       func() { spec.StrictMPIC = v.spec.StrictMPIC },
		"unlimited":         func() { spec.Unlimited = v.spec.Unlimited },
		"sticky-tokens":     func() { spec.StickyTokens = v.spec.StickyTokens },
		"sample":            func() { spec.Sample = v.spec.Sample },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
	return nil
}

func newServiceCreate(f *adminFlags) *cobra.Command {
	var flags serviceFlags
	var cmd *cobra.Command
	cmd = f.command("create NAME", "Make a service", exactArgs("a name"), nil, func(args []string) (request, error) {
		spec := admin.ServiceSpec{Name: args[0]}
		err := flags.lay(cmd, &spec)
		return post("/services", spec), err
	})
	flags.add(cmd)
	required(cmd, "policy", "series")
	return cmd
}

func newServiceUpdate(f *adminFlags) *cobra.Command {
	var flags serviceFlags
	var version int
	cmd := &cobra.Command{
		Use: "update SERVICE", Short: "Change what is given of a service; what was issued stays as it is", Args: exactArgs("a service"),
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := f.call(cmd, get(path("services", args[0])))
			if err != nil {
				return err
			}
			var now admin.Service
			if err := json.Unmarshal(answer, &now); err != nil {
				return err
			}
			spec := now.Spec()
			if version != 0 {
				spec.Version = version
			}
			if err := flags.lay(cmd, &spec); err != nil {
				return err
			}
			if answer, err = f.call(cmd, put(path("services", args[0]), spec)); err != nil {
				return err
			}
			return f.print(cmd.OutOrStdout(), answer, nil)
		},
	}
	flags.add(cmd)
	cmd.Flags().IntVar(&version, "version", 0, "refuse unless this is the version that is changed (default: the present one)")
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
	grant.Flags().StringVar(&until, "until", "", "when what is left of it is lost, such as 2027-12-31 or 2027-12-31T12:00:00Z")
	grant.Flags().StringVar(&from, "from", "", "when it begins, such as 2027-01-31 (default now)")
	required(grant, "until")
	return group("quota", "Quota: lots of certificates, drawn oldest-expiring first",
		inAccount(grant, &account),
		inAccount(f.command("list SUBSCRIPTION", "List the lots of a subscription", one,
			[]string{"id", "amount", "used", "starts_at", "expires_at"},
			func(args []string) (request, error) { return get(at(args)), nil }), &account),
	)
}
