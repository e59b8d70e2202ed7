package directory

import (
	"maps"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
)

// snapshot is the directory at one instant. Neither it nor what it points to is
// ever changed. The zero value is empty.
type snapshot struct {
	accounts      map[telamon.AccountID]*telamon.Account
	identities    map[telamon.IdentityID]*telamon.Identity
	services      map[telamon.ServiceID]*telamon.Service
	subscriptions map[telamon.SubscriptionID]*telamon.Subscription
	pairs         map[telamon.PairID]*telamon.Pair
	credentials   map[telamon.CredentialID]*telamon.Credential
	keys          map[string]telamon.CredentialID // by API key
	certs         map[[32]byte]*telamon.ClientCert
	users         map[telamon.UserID]*telamon.User
	tokens        map[string]*telamon.APIToken // by their left part
	series        map[telamon.SeriesID]*telamon.Series
	issuers       map[telamon.IssuerID]*telamon.Issuer
	lines         telamon.Succession // of issuers
}

// with returns a snapshot of s and what was read since.
func (s *snapshot) with(read *store.Directory) *snapshot {
	next := *s
	next.accounts = laid(s.accounts, read.Accounts, func(a *telamon.Account) telamon.AccountID { return a.ID })
	next.identities = laid(s.identities, read.Identities, func(i *telamon.Identity) telamon.IdentityID { return i.ID })
	next.services = laid(s.services, read.Services, func(v *telamon.Service) telamon.ServiceID { return v.ID })
	next.subscriptions = laid(s.subscriptions, read.Subscriptions, func(v *telamon.Subscription) telamon.SubscriptionID { return v.ID })
	next.pairs = laid(s.pairs, read.Pairs, func(p *telamon.Pair) telamon.PairID { return p.ID })
	next.certs = laid(s.certs, read.ClientCerts, func(c *telamon.ClientCert) [32]byte { return c.Fingerprint })
	next.users = laid(s.users, read.Users, func(u *telamon.User) telamon.UserID { return u.ID })
	next.tokens = laid(s.tokens, read.APITokens, func(k *telamon.APIToken) string { return k.Lookup })
	next.layCredentials(s, read.Credentials)
	if len(read.Issuers)+len(read.Series) > 0 { // they come all at once
		next.series = laid(nil, read.Series, func(v *telamon.Series) telamon.SeriesID { return v.ID })
		next.issuers = laid(nil, read.Issuers, func(v *telamon.Issuer) telamon.IssuerID { return v.ID })
		next.lines = telamon.NewSuccession(slices.Collect(maps.Values(next.issuers)))
	}
	return &next
}

// laid returns old with the objects of list laid over it.
func laid[K comparable, V any](old map[K]*V, list []V, key func(*V) K) map[K]*V {
	if len(list) == 0 {
		return old
	}
	next := make(map[K]*V, len(old)+len(list))
	maps.Copy(next, old)
	for i := range list {
		next[key(&list[i])] = &list[i]
	}
	return next
}

// layCredentials lays credentials over those of old and takes out deleted ones.
func (s *snapshot) layCredentials(old *snapshot, list []telamon.Credential) {
	if len(list) == 0 {
		return
	}
	s.credentials = laid(old.credentials, list, func(c *telamon.Credential) telamon.CredentialID { return c.ID })
	s.keys = make(map[string]telamon.CredentialID, len(s.credentials))
	maps.Copy(s.keys, old.keys)
	for i := range list {
		if c := &list[i]; c.State == telamon.Deleted {
			delete(s.credentials, c.ID)
			delete(s.keys, c.Key)
		} else {
			s.keys[c.Key] = c.ID
		}
	}
}
