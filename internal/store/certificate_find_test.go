package store_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// leaf makes a self-signed certificate with these names: "CN=…" for the common name.
func leaf(t testing.TB, key *ecdsa.PrivateKey, serial telamon.Serial, names ...string) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: serial.Int(), NotAfter: time.Unix(1<<32, 0)}
	for _, name := range names {
		if cn, ok := strings.CutPrefix(name, "CN="); ok {
			template.Subject = pkix.Name{CommonName: cn}
		} else if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if strings.Contains(name, "://") {
			uri, err := url.Parse(name)
			must(t, err)
			template.URIs = append(template.URIs, uri)
		} else if strings.Contains(name, "@") {
			template.EmailAddresses = append(template.EmailAddresses, name)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return der
}

// shelf is what a search is tried on: certificates of three pairs, and of another account's.
type shelf struct {
	*world
	certs []telamon.Certificate
	names map[telamon.Serial][]string // "CN=…" for the common name
	pairs []telamon.PairID
}

var shelfNames = [][]string{
	{"CN=www.example.com", "www.example.com", "example.com"}, {"*.shop.Example.com"}, {"a.b.c.example.org", "192.0.2.7"},
	{"CN=Ada Lovelace", "ada@mail.example.com"}, {"spiffe://cluster.example.com/ns/web"}, {"notexample.com"},
}

func newShelf(t *testing.T, w *world, clock *testkit.Clock, n int) *shelf {
	t.Helper()
	s := &shelf{world: w, names: map[telamon.Serial][]string{}, pairs: []telamon.PairID{w.pair, w.another}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	var ders [][]byte
	for _, names := range shelfNames {
		ders = append(ders, leaf(t, key, telamon.NewSerial(clock.Now()), names...))
	}
	random := mathrand.New(mathrand.NewPCG(7, 7))
	credentials := []telamon.CredentialID{"", telamon.NewCredentialID(), telamon.NewCredentialID()}
	keys := [][32]byte{sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))}
	for i := range n {
		clock.Advance(time.Duration(random.IntN(3)) * 20 * time.Minute) // some at the same time
		c := w.cert(s.pairs[random.IntN(2)])
		c.Credential, c.SPKIHash = credentials[random.IntN(3)], keys[random.IntN(2)]
		c.NotAfter = c.NotBefore.Add(time.Duration(1+random.IntN(100)) * 24 * time.Hour)
		if i > 0 && random.IntN(5) == 0 {
			c.RekeyOf = &s.certs[random.IntN(i)].Serial
		}
		which := random.IntN(len(ders))
		must(t, w.db.IssueCertificate(t.Context(), "", c, store.Blob{DER: ders[which], Request: []byte("{}")}, w.event(c)))
		s.certs, s.names[c.Serial] = append(s.certs, *c), shelfNames[which]
	}
	for i := range s.certs {
		if random.IntN(4) == 0 {
			clock.Advance(time.Duration(random.IntN(2)) * time.Second)
			c := &s.certs[i]
			rev := telamon.Revocation{Reason: telamon.ReasonSuperseded}
			must(t, w.db.RevokeCertificate(t.Context(), c.Pair, c.Serial, rev, telamon.Event{Actor: operator, Action: "certificate.revoke", Result: "ok"}))
			c.Revocation = &telamon.Revocation{At: clock.Now()}
		}
	}
	clock.Advance(20 * 24 * time.Hour) // some expire
	return s
}

// meets says the same as a search, in another way.
func (s *shelf) meets(f *store.CertificateSearch, c *telamon.Certificate) bool {
	now := s.clock.Now()
	within := func(at, from, until time.Time) bool {
		return !at.Before(from) && (until.IsZero() || at.Before(until))
	}
	good := c.Revocation == nil && !c.NotAfter.Before(now)
	state := map[store.CertificateState]bool{
		"": true, store.StateGood: good, store.StateRevoked: c.Revocation != nil, store.StateExpired: c.Revocation == nil && c.NotAfter.Before(now),
		store.StateExpiring: good && c.NotAfter.Before(now.Add(f.Within)),
	}[f.State]
	named := f.Name == "" || slices.ContainsFunc(s.names[c.Serial], func(name string) bool {
		name = strings.ToLower(strings.TrimPrefix(name, "CN="))
		if domain, below := strings.CutPrefix(strings.ToLower(f.Name), "*."); below {
			uri, isURI := strings.CutPrefix(name, "spiffe://")
			host, _, _ := strings.Cut(uri, "/")
			return strings.HasSuffix(name, "."+domain) || strings.HasSuffix(name, "@"+domain) || isURI && ("."+host == "."+domain || strings.HasSuffix(host, "."+domain))
		}
		return name == strings.ToLower(f.Name)
	})
	return state && named && slices.Contains(f.Pairs, c.Pair) && (f.Credential == nil || c.Credential == *f.Credential) &&
		(f.Key == nil || c.SPKIHash == *f.Key) && (f.RekeyOf == nil || c.RekeyOf != nil && *c.RekeyOf == *f.RekeyOf) &&
		strings.HasPrefix(c.Serial.String(), f.Serial) && within(c.AcceptedAt, f.IssuedFrom, f.IssuedUntil) &&
		within(c.NotAfter, f.ExpiresFrom, f.ExpiresUntil)
}

// want is what a search finds, in order.
func (s *shelf) want(f *store.CertificateSearch) (want []telamon.Serial) {
	certs := slices.DeleteFunc(slices.Clone(s.certs), func(c telamon.Certificate) bool { return !s.meets(f, &c) })
	slices.SortFunc(certs, func(a, b telamon.Certificate) int {
		by, sign := func(c telamon.Certificate) time.Time { return c.AcceptedAt }, -1
		switch f.Order() {
		case store.ByRevocation:
			by = func(c telamon.Certificate) time.Time { return c.Revocation.At }
		case store.ByExpiry:
			by, sign = func(c telamon.Certificate) time.Time { return c.NotAfter }, 1
		case store.ByExpired:
			by = func(c telamon.Certificate) time.Time { return c.NotAfter }
		}
		if c := by(a).Compare(by(b)); c != 0 {
			return c * sign
		}
		return slices.Compare(a.Serial[:], b.Serial[:]) * sign
	})
	for _, c := range certs {
		want = append(want, c.Serial)
	}
	return want
}

// search makes a random one of the members that there are.
func (s *shelf) search(random *mathrand.Rand) store.CertificateSearch {
	f := store.CertificateSearch{Pairs: s.pairs, Within: 30 * 24 * time.Hour}
	some := s.certs[random.IntN(len(s.certs))]
	one := func(n int) bool { return random.IntN(n) == 0 }
	if one(4) {
		f.Pairs = s.pairs[:1]
	}
	f.State = []store.CertificateState{"", "", store.StateGood, store.StateRevoked, store.StateExpired, store.StateExpiring}[random.IntN(6)]
	if one(3) {
		f.Name = []string{"*.example.com", "www.EXAMPLE.com", "*.shop.example.com", "ada lovelace", "192.0.2.7", "*.c.example.org",
			"ada@mail.example.com", "*.mail.example.com", "spiffe://cluster.example.com/ns/web", "nobody.example"}[random.IntN(10)]
	}
	if one(4) {
		f.Credential = &some.Credential
	}
	if one(6) {
		f.Serial = some.Serial.String()[:[]int{1, 6, 8, 9, 13, 32}[random.IntN(6)]]
	}
	if one(8) {
		f.Key = &some.SPKIHash
	}
	if one(8) {
		f.RekeyOf = some.RekeyOf
	}
	if one(5) {
		f.IssuedFrom = some.AcceptedAt
	}
	if one(5) {
		f.IssuedUntil = some.AcceptedAt.Add(40 * time.Hour)
	}
	if one(6) {
		f.ExpiresFrom = some.NotAfter
	}
	if one(6) {
		f.ExpiresUntil = some.NotAfter.Add(200 * time.Hour)
	}
	return f
}

// TestFindCertificates compares searches of every combination with what a loop finds, page
// by page, with much and with little that a page may look at.
func TestFindCertificates(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		s := newShelf(t, w, clock, 150)
		random := mathrand.New(mathrand.NewPCG(1, 2))
		filled, counted := 0, 0
		for i := range 250 {
			store.SetSearchBudget(w.db, []int64{2_500, 40, 9}[i%3])
			f := s.search(random)
			f.Limit, f.CountsAll = 1+random.IntN(8), true
			want := s.want(&f)
			var got []telamon.Serial
			for page := 0; ; page++ {
				found, err := w.db.FindCertificates(t.Context(), f)
				if err != nil || page > 400 {
					t.Fatalf("page %d of %+v: %v", page, f, err)
				}
				for _, c := range found.Rows {
					got = append(got, c.Serial)
				}
				if f.CountsAll && found.Total >= 0 {
					counted++
					if found.Total != int64(len(want)) {
						t.Errorf("search %d, %+v: it counts %d, want %d", i, f, found.Total, len(want))
					}
				}
				if found.Full != (len(found.Rows) == f.Limit && found.Next != nil) && found.Full {
					t.Errorf("search %d: a page of %d is full, next %v", i, len(found.Rows), found.Next)
				}
				if found.Next == nil {
					break
				}
				f.After, f.CountsAll = found.Next, false
			}
			if len(want) > 0 {
				filled++
			}
			if !slices.Equal(got, want) {
				t.Fatalf("search %d, %+v, finds\n%v, want\n%v", i, f, got, want)
			}
			f.After, f.Whole, f.Limit = nil, true, 8
			whole, err := w.db.FindCertificates(t.Context(), f)
			if err != nil || len(whole.Rows) != min(8, len(want)) {
				t.Errorf("a whole page of search %d has %d rows, %v; want %d", i, len(whole.Rows), err, min(8, len(want)))
			}
		}
		if filled < 100 || counted < 50 {
			t.Errorf("only %d searches find something, and %d count", filled, counted)
		}
	})
}
