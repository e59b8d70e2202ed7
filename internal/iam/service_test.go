package iam_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
)

func TestService(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		spec := iam.ServiceSpec{
			Name: "device", PolicyTemplate: []byte(template), Series: "tls-ec", DomainValidation: true, StrictCAA: true, StrictMPIC: true,
		}
		s := got(w.CreateService(ctx, operator, spec))(t)
		read := got(w.ServiceNamed(ctx, operator, "device"))(t)
		if read.ID != s.ID || read.Version != 1 || !read.DomainValidation || !read.StrictCAA || !read.StrictMPIC || read.StrictContent || read.Unlimited {
			t.Errorf("ServiceNamed = %+v", read)
		}
		mustBe(t, errorOf(w.CreateService(ctx, operator, spec)), fault.Conflict, "name_taken")
		all := got(w.Services(ctx, operator, store.Page{Limit: 9}))(t)
		if names := ids(all, func(s telamon.Service) string { return s.Name }); !slices.Equal(names, []string{"tls", "device"}) {
			t.Errorf("Services = %v", names)
		}
		next := iam.ServiceSpec{Name: "not read", PolicyTemplate: []byte(template), Series: "mtls-ec", Unlimited: true}
		changed := got(w.ChangeService(ctx, operator, s.ID, 1, next))(t)
		read = got(w.Service(ctx, operator, s.ID))(t)
		if changed.Version != 2 || read.Version != 2 || read.Name != "device" || read.DomainValidation || !read.Unlimited || read.Series == s.Series {
			t.Errorf("ChangeService = %+v, and Service = %+v", changed, read)
		}
		mustBe(t, errorOf(w.ChangeService(ctx, operator, s.ID, 1, next)), fault.Conflict, "changed_meanwhile")
		mustBe(t, errorOf(w.ChangeService(ctx, operator, telamon.NewServiceID(), 1, next)), fault.NotFound, "service_not_found")
		mustBe(t, errorOf(w.Service(ctx, operator, telamon.NewServiceID())), fault.NotFound, "service_not_found")
		mustBe(t, errorOf(w.ServiceNamed(ctx, operator, "none")), fault.NotFound, "service_not_found")
	})
}

// TestServiceInvalid goes through policies that no certificate could be issued by,
// that clients could not read, or by which one could be forged.
func TestServiceInvalid(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		extension := func(oid string) [2]string {
			return [2]string{
				`"signature":`,
				`"custom_extensions": {"` + oid + `": {"presence": "OPTIONAL", "critical": false, "value_type": "UTF8STRING", "value_format": "."}}, "signature":`,
			}
		}
		tests := []struct {
			name, path string
			change     [2]string // of the template
		}{
			{"no JSON", "policy", [2]string{`{`, `[`}},
			{"an octet behind it", "policy", [2]string{`"OPTIONAL"` + "\n}", `"OPTIONAL"` + "\n}\x00"}},
			{"an unknown member", "policy", [2]string{`"validity":`, `"maximum": 1, "validity":`}},
			{"no algorithm", "signature.algorithm.list", [2]string{`["ECDSA"]`, `[]`}},
			{"no hash", "signature.hash_algorithm.list", [2]string{`["SHA-256"]`, `[]`}},
			{"a forbidden hash", "signature.hash_algorithm.presence", [2]string{`"hash_algorithm": {"presence": "OPTIONAL"`, `"hash_algorithm": {"presence": "FORBIDDEN"`}},
			{"no key length", "public_key.allowed_lengths", [2]string{`[256]`, `[]`}},
			{"no presence", "subject_dn.common_name.presence", [2]string{`"REQUIRED"`, `""`}},
			{"an algorithm of another key", "signature.algorithm.list", [2]string{`["ECDSA"]`, `["RSA"]`}},
			{"a usage of another family", "extended_key_usages.ekus.list", [2]string{`1.3.6.1.5.5.7.3.2`, `1.3.6.1.5.5.7.3.4`}},
			{"any usage", "extended_key_usages.ekus.list", [2]string{`1.3.6.1.5.5.7.3.2`, `2.5.29.37.0`}},
			{"a CA", "key_usages.key_certificate_sign", [2]string{`"signature":`, `"key_usages": {"key_certificate_sign": "OPTIONAL"}, "signature":`}},
			{"basic constraints", "custom_extensions.2.5.29.19", extension("2.5.29.19")},
			{"the arc of extensions itself", "custom_extensions.2.5.29", extension("2.5.29")},
			{"authority information access", "custom_extensions.1.3.6.1.5.5.7.1.1", extension("1.3.6.1.5.5.7.1.1")},
			{"SCTs", "custom_extensions.1.3.6.1.4.1.11129.2.4.2", extension("1.3.6.1.4.1.11129.2.4.2")},
			{"a certificate template", "custom_extensions.1.3.6.1.4.1.311.21.7", extension("1.3.6.1.4.1.311.21.7")},
			{"a pattern that is none", "subject_dn.common_name.format", [2]string{`^[a-z]+$`, `^[a-z+$`}},
			{"a placeholder without data", "subject_dn.organization", [2]string{`identity.organization`, `identity.no_such_member`}},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				spec := serviceSpec("bad")
				spec.PolicyTemplate = []byte(strings.Replace(template, tt.change[0], tt.change[1], 1))
				if string(spec.PolicyTemplate) == template {
					t.Fatal("the template was not changed; this proves nothing")
				}
				for _, err := range []error{
					errorOf(w.CreateService(t.Context(), operator, spec)),
					errorOf(w.ChangeService(t.Context(), operator, w.service, 1, spec)),
				} {
					mustBeKind(t, err, fault.Invalid)
					paths := ids(fault.From(err).Fields, func(f fault.Field) string { return f.Path })
					if !slices.Contains(paths, tt.path) {
						t.Errorf("the fields are %v, want %s", paths, tt.path)
					}
				}
			})
		}
		spec := serviceSpec("bad")
		spec.Series = "none"
		mustBe(t, errorOf(w.CreateService(t.Context(), operator, spec)), fault.NotFound, "series_not_found")
		mustBe(t, errorOf(w.CreateService(t.Context(), operator, serviceSpec(""))), fault.Invalid, "invalid_service")
		if s := got(w.Service(t.Context(), operator, w.service))(t); s.Version != 1 || string(s.PolicyTemplate) != template {
			t.Errorf("after the refusals the service is of version %d, with the template %s", s.Version, s.PolicyTemplate)
		}
		mustBe(t, errorOf(w.ServiceNamed(t.Context(), operator, "bad")), fault.NotFound, "service_not_found")
	})
}

// TestServiceSample gives data for a placeholder that is no member of a subject.
func TestServiceSample(t *testing.T) {
	w := newWorld(t, sqlite(t))
	spec := serviceSpec("sample")
	spec.PolicyTemplate = []byte(strings.Replace(template, "identity.organization", "identity.meter_operator", 1))
	mustBe(t, errorOf(w.CreateService(t.Context(), operator, spec)), fault.Invalid, "identity_incomplete")
	spec.Sample = map[string]string{"meter_operator": "Acme"}
	must(t, errorOf(w.CreateService(t.Context(), operator, spec)))
}

func TestSubscription(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		sub := got(w.Subscribe(ctx, operator, w.other, w.service))(t)
		all := got(w.Subscriptions(ctx, operator, w.other, store.Page{Limit: 9}))(t)
		if len(all) != 1 || all[0] != *sub || sub.Service != w.service || sub.Account != w.other {
			t.Errorf("Subscriptions = %+v, want %+v", all, sub)
		}
		mustBe(t, errorOf(w.Subscribe(ctx, operator, w.other, telamon.NewServiceID())), fault.NotFound, "service_not_found")
		mustBe(t, errorOf(w.Subscribe(ctx, operator, telamon.NewAccountID(), w.service)), fault.NotFound, "account_not_found")
	})
}

func TestQuota(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, at := t.Context(), w.clock.Now()
		later := got(w.GrantQuota(ctx, operator, iam.Grant{Account: w.account, Subscription: w.sub, Amount: 1<<31 - 1, EndsAt: at.AddDate(2, 0, 0)}))(t)
		sooner := got(w.GrantQuota(ctx, operator, iam.Grant{
			Account: w.account, Subscription: w.sub, Amount: 1, StartsAt: at.Add(-time.Hour), EndsAt: at.Add(time.Hour + time.Microsecond),
		}))(t)
		lots := got(w.Quota(ctx, operator, w.account, w.sub))(t)
		if !slices.Equal(lots, []telamon.Lot{*sooner, *later}) || !later.StartsAt.Equal(at) || lots[0].Used != 0 {
			t.Errorf("Quota = %+v, want what ends first and then the other", lots)
		}
		for name, g := range map[string]iam.Grant{
			"nothing":                {EndsAt: at.Add(time.Hour)},
			"less than nothing":      {Amount: -1, EndsAt: at.Add(time.Hour)},
			"more than clients read": {Amount: 1 << 31, EndsAt: at.Add(time.Hour)},
			"no end":                 {Amount: 1},
			"an end that is now":     {Amount: 1, StartsAt: at.Add(-time.Hour), EndsAt: at},
			"an end at the start":    {Amount: 1, StartsAt: at.Add(time.Hour), EndsAt: at.Add(time.Hour)},
		} {
			g.Account, g.Subscription = w.account, w.sub
			if err := errorOf(w.GrantQuota(ctx, operator, g)); !fault.Is(err, fault.Invalid) || fault.From(err).Code != "invalid_grant" {
				t.Errorf("%s: %v, want an invalid grant", name, err)
			}
		}
	})
}
