package store

import (
	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

func apiTokenOf(r queries.ApiToken) telamon.APIToken {
	return telamon.APIToken{
		ID: telamon.APITokenID(r.ID), Account: telamon.AccountID(r.AccountID), User: telamon.UserID(r.UserID), Name: r.Name,
		Lookup: r.Lookup, SecretMAC: r.SecretMac, PepperVersion: int(r.PepperVersion), State: telamon.State(r.State),
		EndsAt: timeOrZero(r.EndsAt), CreatedAt: timeOf(r.CreatedAt),
	}
}
