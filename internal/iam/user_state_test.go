package iam_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/store"
)

// What comes of a certificate, a key and both on the face that asks for certificates.
const (
	fine     = "cert; key; key and cert"
	badCert  = noAuth + "; key; key"
	badKey   = "cert; " + noKey + "; " + noKey
	badOwner = noAuth + "; " + noKey + "; " + noKey
	ofCert   = "cert "
	ofKey    = "key "
)

// A userState is what a machine, or its account, is brought into, and what then comes of
// what the machine shows.
type userState struct {
	name, want, why string // why: the reasons in the audit log, each with what it is of
	change          func(m *machine)
}

// TestUserStates goes through the tables of digicert-one.md, Section 9, on one platform:
// the states of accounts and of the issuing CA come last.
func TestUserStates(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		n, seen := 0, map[telamon.EventID]bool{}
		for _, states := range [][]userState{
			certStates(t, w), keyStates(t, w), ownerStates(t, w), accountStates(t, w), endStates(t, w), issuerStates(t, w),
		} {
			for _, s := range states {
				n++
				w.bring(t, w.newMachine(t, w.account, fmt.Sprint("m", n), time.Time{}), s, seen)
			}
		}
	})
}

// bring brings a machine into a state, and checks what comes of it before and after.
func (w *world) bring(t *testing.T, m *machine, s userState, seen map[telamon.EventID]bool) {
	t.Helper()
	if got := w.three(t, m); got != fine && !strings.Contains(s.name, "account") {
		t.Errorf("before %s: %s, want %s", s.name, got, fine)
	}
	w.refusals(t, seen)
	s.change(m)
	if got := w.three(t, m); got != s.want {
		t.Errorf("%s: %s, want %s", s.name, got, s.want)
	}
	var why []string
	for part := range strings.SplitSeq(s.why, ", ") {
		what, reason, _ := strings.Cut(part, " ")
		if object := map[string]string{"cert": m.cert.String(), "key": m.token.String()}[what]; object != "" {
			why = append(why, w.account.String()+" "+object+" "+reason)
		}
	}
	slices.Sort(why)
	if got := w.refusals(t, seen); !slices.Equal(got, why) {
		t.Errorf("%s: the audit log has %q, want %q", s.name, got, why)
	}
}

// certStates are the states of a certificate.
func certStates(t *testing.T, w *world) []userState {
	ctx, clock := t.Context(), w.clock
	return []userState{
		{"nothing", fine, "", func(*machine) {}},
		{"disabled certificate", badCert, ofCert + "certificate_disabled", func(m *machine) {
			got(w.DisableUserCert(ctx, m.actor, m.cert))(t)
		}},
		{"certificate enabled again", fine, "", func(m *machine) {
			got(w.DisableUserCert(ctx, m.actor, m.cert))(t)
			got(w.EnableUserCert(ctx, m.actor, m.cert))(t)
		}},
		{"revoked certificate", badCert, ofCert + "certificate_revoked", func(m *machine) {
			must(t, w.RevokeClientCert(ctx, operator, w.account, m.cert, telamon.ReasonKeyCompromise))
		}},
		{"deleted certificate", badCert, ofCert + "certificate_deleted", func(m *machine) {
			must(t, w.DeleteUserCert(ctx, m.actor, m.cert))
		}},
		{"certificate of tomorrow", badCert, ofCert + "certificate_not_yet_valid", func(m *machine) {
			w.odd(t, m, func(r *issuance.Request) { r.NotBefore = clock.Now().Truncate(time.Second).Add(time.Second) })
		}},
		{"certificate of this second", fine, "", func(m *machine) {
			w.odd(t, m, func(r *issuance.Request) { r.NotBefore = clock.Now().Truncate(time.Second) })
		}},
		{"certificate that ended a second ago", badCert, ofCert + "certificate_expired", func(m *machine) {
			w.odd(t, m, func(r *issuance.Request) { r.NotAfter = clock.Now().Truncate(time.Second).Add(-time.Second) })
		}},
		{"certificate for nothing", badCert, ofCert + "certificate_usage", func(m *machine) {
			w.odd(t, m, func(r *issuance.Request) { r.Content.ExtKeyUsage.OIDs = nil })
		}},
		{"certificate that no issuing CA of ours signed", badCert, ofCert + "certificate_chain", func(m *machine) {
			key, serial := got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t), telamon.NewSerial(clock.Now())
			issuer := got(w.engine.Active(got(w.dir.SeriesNamed(ctx, "mtls-rsa"))(t).ID))(t)
			w.keep(t, m, foreign(t, key, key.Public(), new(big.Int).SetBytes(serial[:])), issuer.ID, 0)
		}},
		{"certificate for credentials", badCert, ofCert + "certificate_of_no_user", func(m *machine) {
			l := w.newLogin(t, "api", good(0))
			m.der, m.cert = l.peer, l.cert
		}},
	}
}

// keyStates are the states of an API token.
func keyStates(t *testing.T, w *world) []userState {
	ctx := t.Context()
	return []userState{
		{"disabled key", badKey, ofKey + "api_token_disabled", func(m *machine) { w.setToken(t, m, false) }},
		{"key enabled again", fine, "", func(m *machine) { w.setToken(t, m, false); w.setToken(t, m, true) }},
		{"deleted key", badKey, ofKey + "api_token_deleted", func(m *machine) {
			must(t, w.DeleteAPIToken(ctx, m.actor, w.account, m.token))
		}},
		{"key that was deleted long ago", badKey, ofKey + "api_token_deleted", func(m *machine) {
			must(t, w.DeleteAPIToken(ctx, m.actor, w.account, m.token))
			w.forget(t)
		}},
	}
}

// ownerStates are the states of a user.
func ownerStates(t *testing.T, w *world) []userState {
	ctx := t.Context()
	return []userState{
		{"deleted user", badOwner, ofCert + "certificate_deleted, " + ofKey + "api_token_deleted", func(m *machine) {
			must(t, w.DeleteUser(ctx, operator, w.account, m.actor.User))
		}},
		{"disabled user", badOwner, ofCert + "user_disabled, " + ofKey + "user_disabled", func(m *machine) {
			must(t, w.DisableUser(ctx, operator, w.account, m.actor.User))
		}},
		{"user enabled again", fine, "", func(m *machine) {
			must(t, w.DisableUser(ctx, operator, w.account, m.actor.User))
			must(t, w.EnableUser(ctx, operator, w.account, m.actor.User))
		}},
		{"user enabled again whose certificate is disabled", badCert, ofCert + "certificate_disabled", func(m *machine) {
			got(w.DisableUserCert(ctx, m.actor, m.cert))(t)
			must(t, w.DisableUser(ctx, operator, w.account, m.actor.User))
			must(t, w.EnableUser(ctx, operator, w.account, m.actor.User))
		}},
		{"locked user", badOwner, ofCert + "user_locked, " + ofKey + "user_locked", func(m *machine) {
			must(t, w.LockUser(ctx, operator, w.account, m.actor.User))
		}},
		{"unlocked user", fine, "", func(m *machine) {
			must(t, w.LockUser(ctx, operator, w.account, m.actor.User))
			must(t, w.UnlockUser(ctx, operator, w.account, m.actor.User))
		}},
	}
}

// accountStates are the states of an account, of which the last is good.
func accountStates(t *testing.T, w *world) []userState {
	ctx, clock := t.Context(), w.clock
	return []userState{
		{"disabled account", badOwner, ofCert + "account_disabled, " + ofKey + "account_disabled", func(*machine) {
			must(t, w.DisableAccount(ctx, operator, w.account))
		}},
		{"account of tomorrow", badOwner, ofCert + "account_out_of_service, " + ofKey + "account_out_of_service", func(*machine) {
			must(t, w.EnableAccount(ctx, operator, w.account))
			must(t, w.SetServicePeriod(ctx, operator, w.account, iam.Period{StartsAt: clock.Now().Truncate(time.Second).Add(time.Second)}))
		}},
		{"account whose last second it is", fine, "", func(*machine) {
			must(t, w.SetServicePeriod(ctx, operator, w.account, iam.Period{EndsAt: clock.Now()}))
		}},
		{"account of yesterday", badOwner, ofCert + "account_out_of_service, " + ofKey + "account_out_of_service", func(*machine) {
			must(t, w.SetServicePeriod(ctx, operator, w.account, iam.Period{EndsAt: clock.Now().Add(-time.Second)}))
		}},
		{"account without a term", fine, "", func(*machine) {
			must(t, w.SetServicePeriod(ctx, operator, w.account, iam.Period{}))
		}},
	}
}

// endStates are the last moment and the next one of all that ends. They move the clock.
func endStates(t *testing.T, w *world) []userState {
	const (
		dayEnd    = 24*time.Hour - time.Second
		longLived = 30 * 24 * time.Hour
	)
	ctx, clock := t.Context(), w.clock
	ends := clock.Now().Truncate(24 * time.Hour).Add(24*time.Hour + dayEnd) // of tomorrow
	until := func(at time.Time) { clock.Set(at); must(t, w.dir.Poll(ctx)) }
	return []userState{
		{"key whose last second it is", fine, "", func(m *machine) {
			m.token, m.key = w.tokenUntil(t, m, ends)
			until(ends.Add(time.Second - 1))
		}},
		{"user whose last second it is", fine, "", func(*machine) {}},
		{"key that has just ended", badKey, ofKey + "api_token_expired", func(m *machine) {
			clock.Set(ends.Add(-time.Second))
			m.token, m.key = w.tokenUntil(t, m, ends)
			until(ends.Add(time.Second))
		}},
		{"user who has just ended", badOwner, ofCert + "user_expired, " + ofKey + "user_expired", func(m *machine) {
			clock.Set(ends.Add(-time.Second))
			*m = *w.newMachine(t, w.account, "ending", ends)
			w.odd(t, m, func(*issuance.Request) {}) // which would end later
			until(ends.Add(time.Second))
		}},
		{"certificate whose last second it is", fine, "", func(m *machine) {
			w.odd(t, m, func(r *issuance.Request) { r.NotAfter = ends.Add(longLived) })
			until(ends.Add(longLived + time.Second - 1))
		}},
		{"certificate that has just ended", badCert, ofCert + "certificate_expired", func(m *machine) {
			w.odd(t, m, func(r *issuance.Request) { r.NotAfter = ends.Add(longLived).Add(time.Second) })
			until(ends.Add(longLived + 2*time.Second))
		}},
	}
}

// issuerStates are the states of the issuing CA, which stays revoked.
func issuerStates(t *testing.T, w *world) []userState {
	ctx := t.Context()
	return []userState{
		{"revoked issuing CA", badCert, ofCert + "certificate_issuer", func(m *machine) {
			issuer := got(w.dir.Issuer(ctx, got(w.dir.ClientCert(ctx, sha256.Sum256(m.der)))(t).Issuer))(t)
			serial, _ := telamon.SerialFromInt(issuer.Certificate.SerialNumber)
			must(t, w.db.RevokeCA(ctx, operator, store.RevokedCA{
				Issuer: issuer.ID, Parent: issuer.Parent, Serial: serial, NotAfter: issuer.Certificate.NotAfter,
			}, telamon.Revocation{Reason: telamon.ReasonSuperseded}))
			must(t, w.dir.Poll(ctx))
		}},
	}
}

// three returns what comes of the machine's certificate, of its key and of both.
func (w *world) three(t testing.TB, m *machine) string {
	t.Helper()
	return w.show(t, "", m.der, true) + "; " + w.show(t, m.key, nil, true) + "; " + w.show(t, m.key, m.der, true)
}

// setToken disables or enables the machine's API token.
func (w *world) setToken(t testing.TB, m *machine, enabled bool) {
	t.Helper()
	got(w.UpdateAPIToken(t.Context(), m.actor, w.account, m.token, iam.APITokenChange{Enabled: &enabled}))(t)
}

// forget reads the whole directory anew.
func (w *world) forget(t testing.TB) {
	t.Helper()
	w.clock.Advance(time.Minute)
	must(t, w.dir.Poll(t.Context()))
}

// tokenUntil makes an API token of the machine's user with an end.
func (w *world) tokenUntil(t testing.TB, m *machine, ends time.Time) (telamon.APITokenID, string) {
	t.Helper()
	token, key, err := w.CreateAPIToken(t.Context(), m.actor, iam.NewAPIToken{Account: w.account, User: m.actor.User, Name: "until", EndsAt: ends})
	must(t, err)
	return token.ID, key
}
