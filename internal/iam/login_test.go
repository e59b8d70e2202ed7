package iam_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

func TestLogin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		l := w.newLogin(t, "api", good(0))
		mapped := netip.MustParseAddr("::ffff:192.0.2.7")
		must(t, w.SetAllowedIPs(ctx, operator, w.account, l.credential.ID, []string{"192.0.2.0/24"}))
		token := got(w.Login(ctx, mapped, l.peer, strings.ToUpper(l.key), l.secret))(t)
		if again := w.login(t, l); again == token {
			t.Error("two logins give one token")
		}
		actor := got(w.Authorize(ctx, token, mapped, l.peer))(t)
		series := got(w.dir.SeriesNamed(ctx, "tls-ec"))(t)
		issuer := got(w.engine.Active(series.ID))(t)
		want := telamon.Actor{
			Kind: telamon.ActorCredential, Account: w.account, Address: home, Credential: l.credential.ID, Pair: l.credential.Pair,
			ClientCert: l.cert, Issuer: issuer.ID,
		}
		if !reflect.DeepEqual(actor, want) {
			t.Errorf("Authorize = %+v, want %+v", actor, want)
		}
		c := got(w.Credential(ctx, operator, w.account, l.credential.ID))(t)
		if !c.LastUsedAt.Equal(w.clock.Now()) || c.LastUsedFrom != "192.0.2.7" {
			t.Errorf("the last use was at %s from %s", c.LastUsedAt, c.LastUsedFrom)
		}
		page := got(w.db.AuditEvents(ctx, store.AuditFilter{Account: w.account, Action: "credential.login", Object: l.credential.ID.String()}))(t)
		if len(page.Events) != 2 || page.Events[0].Result != "ok" || page.Events[0].Address != home ||
			!strings.Contains(string(page.Events[0].After), l.cert.String()) || !strings.Contains(string(page.Events[0].After), issuer.ID.String()) {
			t.Errorf("the audit log has %+v", page.Events)
		}
	})
}

// TestLoginMalformed checks that what cannot be a key or secret is told so: it is
// no secret what they look like.
func TestLoginMalformed(t *testing.T) {
	w := newWorld(t, sqlite(t))
	key, secret := strings.Repeat("a", 16), strings.Repeat("b", 40)
	for name, pair := range map[string][2]string{
		"nothing": {"", ""}, "no key": {"", secret}, "no secret": {key, ""}, "a short key": {key[1:], secret}, "a long secret": {key, secret + "b"},
		"no hexadecimal": {key[1:] + "g", secret}, "a line": {key + "\n", secret}, "swapped": {secret, key},
	} {
		if err := errorOf(w.Login(t.Context(), home, nil, pair[0], pair[1])); !fault.Is(err, fault.Invalid) || fault.From(err).Code != "invalid_login_request" {
			t.Errorf("%s: %v, want an invalid request", name, err)
		}
	}
	events := w.events(t, "credential.login")
	if len(events) != 1 || events[0].Result != "login_malformed" || events[0].Object != "" || count(t, events[0]) != 8 {
		t.Errorf("the audit log has %+v, want one event of 8", events)
	}
}

func count(t testing.TB, e *audit.Payload) int64 {
	t.Helper()
	var c audit.RefusalCount
	must(t, json.Unmarshal(e.After, &c))
	return c.Count
}

// refusal is a login or a request that must be refused.
type refusal struct {
	name, reason string
	prepare      func() error
	address      netip.Addr // home if it is not set
	peer         []byte
	key, secret  string // of logins
	token        string // of requests
	stranger     bool   // nobody's credential
}

// check makes the attempts and checks that the answer is always the same, and that
// the audit log of the credential's owner has the reason.
func (w *world) check(t *testing.T, action string, id telamon.CredentialID, try func(refusal) error, refusals []refusal) {
	t.Helper()
	var answer error
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			if r.prepare != nil {
				must(t, r.prepare())
			}
			if !r.address.IsValid() {
				r.address = home
			}
			before := len(w.events(t, action))
			err := try(r)
			mustBe(t, err, fault.Unauthenticated, "unauthorized")
			if answer == nil {
				answer = err
			}
			if !reflect.DeepEqual(err, answer) {
				t.Errorf("the answer is %#v, and others got %#v", err, answer)
			}
			events := w.events(t, action)[before:]
			if len(events) != 1 {
				t.Fatalf("%d events were written, want 1", len(events))
			}
			e, account, object := events[0], w.account, id.String()
			if r.stranger {
				account, object = "", e.Object
			}
			if e.Result != r.reason || e.Account != account || e.Object != object || e.Address != r.address || e.Kind != telamon.ActorAnonymous {
				t.Errorf("the audit log has %+v, want %s of %s from %s", e, r.reason, object, r.address)
			}
		})
	}
}

func TestLoginRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		l, other := w.newLogin(t, "api", good(0)), w.newLogin(t, "other", good(1))
		revoked, disabled := w.issue(t, good(0), l.credential.ID), w.issue(t, good(0), l.credential.ID)
		must(t, w.RevokeClientCert(ctx, operator, w.account, revoked.ID, ""))
		must(t, w.DisableClientCert(ctx, operator, w.account, disabled.ID))
		id, key, secret, peer := l.credential.ID, l.key, l.secret, l.peer
		upper := strings.ToUpper(secret)
		if upper == secret {
			t.Fatal("the secret has no letters; this proves nothing")
		}
		deleted := w.newLogin(t, "deleted", nil)
		must(t, w.DeleteCredential(ctx, operator, w.account, deleted.credential.ID))
		outside := netip.MustParseAddr("2001:db8::1")
		allow := func(list ...string) func() error {
			return func() error { return w.SetAllowedIPs(ctx, operator, w.account, id, list) }
		}
		do := func(f func(context.Context, telamon.Actor, telamon.AccountID) error) func() error {
			return func() error { return f(ctx, operator, w.account) }
		}
		w.check(t, "credential.login", id, func(r refusal) error {
			return errorOf(w.Login(ctx, r.address, r.peer, r.key, r.secret))
		}, []refusal{
			{name: "an unknown key", reason: "credential_unknown", key: strings.Repeat("0", 16), secret: secret, peer: peer, stranger: true},
			{name: "a deleted credential", reason: "credential_unknown", key: deleted.key, secret: deleted.secret, stranger: true},
			{name: "another secret", reason: "secret_wrong", key: key, secret: strings.Repeat("0", 40), peer: peer},
			{name: "another credential's secret", reason: "secret_wrong", key: key, secret: other.secret, peer: peer},
			{name: "the secret in capitals", reason: "secret_wrong", key: key, secret: upper, peer: peer},
			{name: "no certificate", reason: "certificate_missing", key: key, secret: secret},
			{name: "a stranger's certificate", reason: "certificate_unknown", key: key, secret: secret, peer: w.strangeCert(t)},
			{name: "no certificate at all", reason: "certificate_unknown", key: key, secret: secret, peer: []byte("DER")},
			{name: "another credential's certificate", reason: "certificate_not_linked", key: key, secret: secret, peer: other.peer},
			{name: "a revoked certificate", reason: "certificate_revoked", key: key, secret: secret, peer: revoked.Certificate.Raw},
			{name: "a disabled certificate", reason: "certificate_disabled", key: key, secret: secret, peer: disabled.Certificate.Raw},
			{
				name: "an address that is not allowed", reason: "address_not_allowed", prepare: allow("192.0.2.0/24"), address: outside,
				key: key, secret: secret, peer: peer,
			},
			{
				name: "an address of the other family", reason: "address_not_allowed", prepare: allow("::/0"),
				key: key, secret: secret, peer: peer,
			},
			{name: "the wrong secret from there", reason: "secret_wrong", key: key, secret: upper, peer: peer},
			{
				name: "a disabled credential", reason: "credential_disabled",
				prepare: func() error { return w.DisableCredential(ctx, operator, w.account, id) }, key: key, secret: secret, peer: peer,
			},
			{name: "a disabled account", reason: "account_disabled", prepare: do(w.DisableAccount), key: key, secret: secret, peer: peer},
			{name: "a deleted account", reason: "account_disabled", prepare: do(w.DeleteAccount), key: key, secret: secret, peer: peer},
		})
	})
}

// strangeCert returns the DER of a certificate of another platform.
func (w *world) strangeCert(t testing.TB) []byte {
	t.Helper()
	elsewhere := newWorld(t, sqlite(t))
	return elsewhere.newLogin(t, "api", good(2)).peer
}

// TestClientCertExpires checks that the last second of a certificate's validity is
// part of it (RFC 5280, Section 4.1.2.5).
func TestClientCertExpires(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		l := w.newLogin(t, "api", good(0))
		end := got(w.ClientCert(t.Context(), operator, w.account, l.cert))(t).NotAfter
		w.clock.Advance(end.Sub(w.clock.Now()) + time.Second - time.Millisecond)
		token := w.login(t, l)
		w.clock.Advance(time.Millisecond)
		mustBe(t, errorOf(w.Login(t.Context(), home, l.peer, l.key, l.secret)), fault.Unauthenticated, "unauthorized")
		mustBe(t, errorOf(w.Authorize(t.Context(), token, home, l.peer)), fault.Unauthenticated, "unauthorized")
		if e := w.events(t, "credential.login"); len(e) != 1 || e[0].Result != "certificate_expired" {
			t.Errorf("the audit log has %+v", e)
		}
	})
}

// TestTokenLife uses a token to its last millisecond, across the midnight at which
// the key of its MAC changes.
func TestTokenLife(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		if iam.TokenLife != 600*time.Second || iam.TokenGrace != 60*time.Second {
			t.Errorf("a token lives %s and %s", iam.TokenLife, iam.TokenGrace)
		}
		l := w.newLogin(t, "api", nil)
		token := w.login(t, l)
		must(t, errorOf(w.Authorize(ctx, token, home, nil)))
		w.clock.Advance(660*time.Second - time.Millisecond)
		must(t, errorOf(w.Authorize(ctx, token, home, nil)))
		w.clock.Advance(time.Millisecond)
		mustBe(t, errorOf(w.Authorize(ctx, token, home, nil)), fault.Unauthenticated, "unauthorized")
		if e := w.events(t, "credential.authorize"); len(e) != 1 || e[0].Result != "token_expired" || e[0].Account != w.account {
			t.Errorf("the audit log has %+v", e)
		}
	})
}

// TestAuthorizeRefused goes through what ends a token, or makes it none.
func TestAuthorizeRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		l := w.newLogin(t, "api", good(0))
		id, peer, token := l.credential.ID, l.peer, w.login(t, l)
		twin := w.issue(t, good(1), id).Certificate.Raw
		ahead := w.replica(aheadBy(w, 5*time.Second+time.Millisecond))
		future := got(ahead.Login(ctx, home, peer, l.key, l.secret))(t)
		must(t, errorOf(w.Authorize(ctx, got(w.replica(aheadBy(w, 5*time.Second)).Login(ctx, home, peer, l.key, l.secret))(t), home, peer)))
		elsewhere := newWorld(t, sqlite(t))
		strange := elsewhere.login(t, elsewhere.newLogin(t, "api", nil))
		deleted := w.newLogin(t, "deleted", nil)
		ended := w.login(t, deleted)
		must(t, w.DeleteCredential(ctx, operator, w.account, deleted.credential.ID))
		outside := netip.MustParseAddr("198.51.100.1")
		// again makes a change and logs in anew.
		fresh := token
		again := func(change func() error) func() error {
			return func() error {
				fresh = w.login(t, l)
				must(t, errorOf(w.Authorize(ctx, fresh, home, peer)))
				return change()
			}
		}
		allow := func() error { return w.SetAllowedIPs(ctx, operator, w.account, id, []string{"192.0.2.0/24"}) }
		w.check(t, "credential.authorize", id, func(r refusal) error {
			if r.token == "" {
				r.token = fresh
			}
			return errorOf(w.Authorize(ctx, r.token, r.address, r.peer))
		}, []refusal{
			{name: "no certificate", reason: "certificate_missing"},
			{name: "another linked certificate", reason: "token_certificate", peer: twin},
			{name: "a stranger's certificate", reason: "token_certificate", peer: []byte("DER")},
			{name: "a token from the future", reason: "token_from_the_future", token: future, peer: peer},
			{name: "a deleted credential", reason: "credential_unknown", token: ended, stranger: true},
			{name: "another platform's token", reason: "token_forged", token: strange, peer: peer, stranger: true},
			{name: "a letter for another", reason: "token_forged", token: swapLetter(token, 60), peer: peer, stranger: true},
			{name: "another version", reason: "token_malformed", token: "Ag" + token[2:], peer: peer, stranger: true},
			{name: "a part of a token", reason: "token_malformed", token: token[1:], peer: peer, stranger: true},
			{name: "a line after it", reason: "token_malformed", token: token + "\n", peer: peer, stranger: true},
			{name: "new addresses", reason: "token_epoch", prepare: again(allow), peer: peer},
			{
				name: "an address that is not allowed", reason: "address_not_allowed", address: outside, peer: peer,
				prepare: again(func() error { return nil }),
			},
			{
				name: "a new link", reason: "token_epoch", peer: peer,
				prepare: again(func() error {
					return w.RelinkCredential(ctx, operator, w.account, id, w.sub, w.newIdentity(t, w.account))
				}),
			},
			{
				name: "a disabled credential", reason: "credential_disabled", peer: peer,
				prepare: again(func() error { return w.DisableCredential(ctx, operator, w.account, id) }),
			},
			{
				name: "a credential that was enabled again", reason: "token_epoch", peer: peer,
				prepare: func() error { return w.EnableCredential(ctx, operator, w.account, id) },
			},
			{
				name: "a disabled account", reason: "account_disabled", peer: peer,
				prepare: again(func() error { return w.DisableAccount(ctx, operator, w.account) }),
			},
		})
		must(t, w.EnableAccount(ctx, operator, w.account))
		must(t, errorOf(w.Authorize(ctx, fresh, home, peer)))
	})
}

// fixedClock is another replica's clock.
type fixedClock time.Time

func (c fixedClock) Now() time.Time { return time.Time(c) }

func aheadBy(w *world, d time.Duration) telamon.Clock { return fixedClock(w.clock.Now().Add(d)) }

// swapLetter replaces a letter of a token.
func swapLetter(token string, at int) string {
	letter := "A"
	if token[at] == 'A' {
		letter = "B"
	}
	return token[:at] + letter + token[at+1:]
}

// TestRelink checks that the next login acts for the new pair.
func TestRelink(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		l := w.newLogin(t, "api", nil)
		before := got(w.Authorize(ctx, w.login(t, l), home, nil))(t)
		identity := w.newIdentity(t, w.account)
		must(t, w.RelinkCredential(ctx, operator, w.account, l.credential.ID, w.sub, identity))
		after := got(w.Authorize(ctx, w.login(t, l), home, nil))(t)
		scope := got(w.dir.Scope(ctx, after.Pair))(t)
		if after.Pair == before.Pair || scope.Identity.ID != identity {
			t.Errorf("the pair was %d and is %d, of the identity %s", before.Pair, after.Pair, scope.Identity.ID)
		}
	})
}

// TestEveryLetter changes each letter of a token to another one.
func TestEveryLetter(t *testing.T) {
	w := newWorld(t, sqlite(t))
	token := w.login(t, w.newLogin(t, "api", nil))
	for i := range token {
		if actor, err := w.Authorize(t.Context(), swapLetter(token, i), home, nil); err == nil {
			t.Errorf("with another letter %d it is a token of %+v", i, actor)
		}
	}
}

// TestDisableAtOnce logs in all the time while the credential is disabled: of what
// began after that, nothing succeeds, and no token of before is good.
func TestDisableAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, l := t.Context(), w.newLogin(t, "api", nil)
		var mu sync.Mutex
		var tokens []string
		var clients sync.WaitGroup
		began := make(chan struct{}, 4)
		for range 4 {
			clients.Go(func() {
				for n := 0; ; n++ {
					token, err := w.Login(ctx, home, nil, l.key, l.secret)
					if n == 2 {
						began <- struct{}{}
					}
					if err != nil {
						if !fault.Is(err, fault.Unauthenticated) {
							t.Errorf("a login: %v", err)
						}
						return
					}
					mu.Lock()
					tokens = append(tokens, token)
					mu.Unlock()
				}
			})
		}
		for range 4 {
			<-began
		}
		must(t, w.DisableCredential(ctx, operator, w.account, l.credential.ID))
		mustBe(t, errorOf(w.Login(ctx, home, nil, l.key, l.secret)), fault.Unauthenticated, "unauthorized")
		clients.Wait()
		must(t, w.EnableCredential(ctx, operator, w.account, l.credential.ID))
		for _, token := range tokens {
			mustBe(t, errorOf(w.Authorize(ctx, token, home, nil)), fault.Unauthenticated, "unauthorized")
		}
	})
}

// TestLoginWithoutDatabase checks that a platform that can know nothing refuses,
// and does not call a good secret wrong.
func TestLoginWithoutDatabase(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		l := w.newLogin(t, "api", nil)
		token := w.login(t, l)
		must(t, w.db.Close())
		mustBeKind(t, errorOf(w.Login(t.Context(), home, nil, l.key, l.secret)), fault.Unavailable) // it cannot be written
		w.clock.Advance(2 * time.Second)
		mustBeKind(t, errorOf(w.Login(t.Context(), home, nil, l.key, l.secret)), fault.Unavailable)
		mustBeKind(t, errorOf(w.Authorize(t.Context(), token, home, nil)), fault.Unavailable)
	})
}

// TestWriteRefusals counts refusals by the minute, address, credential and reason,
// and loses none when they cannot be written.
func TestWriteRefusals(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, l := t.Context(), w.newLogin(t, "api", good(0))
		elsewhere, unknown := netip.MustParseAddr("2001:db8::7"), strings.Repeat("0", 16)
		try := func(n int, address netip.Addr, key, secret string) {
			for range n {
				mustBe(t, errorOf(w.Login(ctx, address, nil, key, secret)), fault.Unauthenticated, "unauthorized")
			}
		}
		counts := func() map[string]int64 {
			t.Helper()
			all := map[string]int64{}
			for _, action := range []string{"credential.login", "credential.authorize"} {
				for _, e := range got(w.db.AuditEvents(ctx, store.AuditFilter{Action: action}))(t).Events {
					name := strings.Join([]string{e.Address.String(), e.Object, e.Result}, " ")
					if all[name] > 0 {
						name += " again"
					}
					all[name] = count(t, e)
				}
			}
			return all
		}
		wrong := strings.Repeat("0", 40)
		try(3, home, l.key, wrong)
		try(2, elsewhere, l.key, wrong)
		try(1, home, l.key, l.secret)
		try(4, home, unknown, l.secret)
		mustBe(t, errorOf(w.Authorize(ctx, "no token", home, nil)), fault.Unauthenticated, "unauthorized")
		w.clock.Advance(time.Minute - time.Millisecond)
		must(t, w.WriteRefusals(ctx, false))
		id := l.credential.ID.String()
		want := map[string]int64{
			"192.0.2.7 " + id + " secret_wrong": 3, "2001:db8::7 " + id + " secret_wrong": 2, "192.0.2.7 " + id + " certificate_missing": 1,
		}
		if c := counts(); !maps.Equal(c, want) {
			t.Errorf("before the minute is over %v are written, want the first of the credential's: %v", c, want)
		}
		w.clock.Advance(time.Millisecond)
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if err := w.WriteRefusals(gone, false); err == nil {
			t.Fatal("they were written all the same; this proves nothing")
		}
		try(1, home, unknown, l.secret)
		must(t, w.WriteRefusals(ctx, false))
		want["192.0.2.7 "+unknown+" credential_unknown"], want["192.0.2.7  token_malformed"] = 4, 1
		if c := counts(); !maps.Equal(c, want) {
			t.Errorf("after the minute %v are written, want %v", c, want)
		}
		must(t, w.WriteRefusals(ctx, true))
		want["192.0.2.7 "+unknown+" credential_unknown again"] = 1
		if c := counts(); !maps.Equal(c, want) {
			t.Errorf("at the end %v are written, want %v", c, want)
		}
	})
}

// TestManyRefusals writes more than one transaction holds, after an attempt
// without a database.
func TestManyRefusals(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		for i := range 700 {
			mustBe(t, errorOf(w.Login(ctx, home, nil, fmt.Sprintf("%016x", i), strings.Repeat("0", 40))), fault.Unauthenticated, "unauthorized")
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		for range 3 {
			if err := w.WriteRefusals(gone, true); err == nil {
				t.Fatal("they were written all the same; this proves nothing")
			}
		}
		objects := ids(w.events(t, "credential.login"), func(e *audit.Payload) string { return e.Object })
		slices.Sort(objects)
		if n := len(slices.Compact(slices.Clone(objects))); len(objects) != 700 || n != 700 {
			t.Errorf("%d events of %d keys are written, want 700 of each", len(objects), n)
		}
	})
}

// BenchmarkAuthorize is a part of every request.
func BenchmarkAuthorize(b *testing.B) {
	w := newWorld(b, dbtest.SQLite(b))
	l := w.newLogin(b, "api", good(0))
	token := w.login(b, l)
	for b.Loop() {
		must(b, errorOf(w.Authorize(b.Context(), token, home, l.peer)))
	}
}

// TestTokensOfARotation follows tokens over a switch: one that was bound before it lives
// out its time on the old issuing CA, until an emergency ends it at once.
func TestTokensOfARotation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		l := w.newLogin(t, "first", good(0))
		enter := func() string {
			t.Helper()
			return got(w.Login(ctx, home, l.peer, l.key, l.secret))(t)
		}
		bound := func(token string) telamon.IssuerID {
			t.Helper()
			return got(w.Authorize(ctx, token, home, l.peer))(t).Issuer
		}
		first := enter()
		old := bound(first)
		next := w.successor(t, old, w.clock.Now().Add(time.Minute))
		w.clock.Advance(time.Minute - time.Millisecond)
		must(t, w.dir.Poll(ctx))
		last := enter()
		w.clock.Advance(time.Millisecond)
		must(t, w.dir.Poll(ctx))
		second := enter()
		if bound(first) != old || bound(last) != old || bound(second) != next {
			t.Errorf("after the switch the tokens are bound to %s, %s and %s, want %s twice and %s",
				bound(first), bound(last), bound(second), old, next)
		}
		w.clock.Advance(telamon.TokenReach - 2*time.Millisecond)
		must(t, w.dir.Poll(ctx))
		if bound(last) != old {
			t.Error("the last token did not live out its time on the old issuing CA")
		}
		w.clock.Advance(time.Millisecond)
		must(t, w.dir.Poll(ctx))
		mustBe(t, errorOf(w.Authorize(ctx, last, home, l.peer)), fault.Unauthenticated, "unauthorized")

		third := enter()
		emergency := w.successor(t, next, w.clock.Now().Add(time.Hour))
		must(t, w.db.RotateNow(ctx, operator, w.seriesOf(t, next), emergency, true))
		must(t, w.dir.Poll(ctx)) // as every replica does each 250 ms
		mustBe(t, errorOf(w.Authorize(ctx, third, home, l.peer)), fault.Unauthenticated, "unauthorized")
		if fourth := enter(); bound(fourth) != emergency {
			t.Errorf("after the emergency a token is bound to %s, want %s", bound(fourth), emergency)
		}
	})
}

func (w *world) seriesOf(t *testing.T, id telamon.IssuerID) telamon.SeriesID {
	t.Helper()
	return got(w.dir.Issuer(t.Context(), id))(t).Series
}

// successor plans an issuing CA after another one. It has that one's certificate: nothing
// is signed here.
func (w *world) successor(t *testing.T, after telamon.IssuerID, at time.Time) telamon.IssuerID {
	t.Helper()
	i := *got(w.dir.Issuer(t.Context(), after))(t)
	i.ID, i.ActivateAt = telamon.NewIssuerID(), at
	must(t, w.db.PlanIssuer(t.Context(), operator, store.IssuerPlan{
		ID: i.ID, Series: i.Series, Parent: i.Parent, KeyName: i.ID.String(), ActivateAt: at, Request: []byte(`{}`),
	}))
	must(t, w.db.AddIssuer(t.Context(), operator, &i))
	must(t, w.dir.Poll(t.Context()))
	return i.ID
}
