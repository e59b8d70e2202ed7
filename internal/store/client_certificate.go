package store

import (
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// CreateClientCert writes a new client certificate with its links, and sets its
// State, CreatedAt and NotBefore. It reports NotFound if a credential is not the account's,
// and Conflict if one is deleted, if the key is blocked (key_blocked) or another account's
// (key_of_another_account).
func (db *DB) CreateClientCert(ctx context.Context, actor telamon.Actor, cert *telamon.ClientCert) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.mustHaveAccount(ctx, cert.Account); err != nil {
			return err
		}
		return t.insertClientCert(ctx, actor, cert)
	})
}

func (t *txn) insertClientCert(ctx context.Context, actor telamon.Actor, cert *telamon.ClientCert) error {
	rows, err := t.KeyBlocks(ctx, cert.SPKIHash[:])
	if err != nil {
		return fmt.Errorf("look for a blocked key: %w", err)
	}
	if block := blockFor(rows, cert.SPKIHash[:], cert.Account); block != nil { // since it was signed
		return fault.New(fault.Conflict, "key_blocked", "The key is blocked: "+block.Why()+".")
	}
	if err := t.claimClientKey(ctx, cert.SPKIHash, cert.Account); err != nil {
		return err
	}
	cert.State, cert.CreatedAt, cert.NotBefore = telamon.Active, timeOf(t.millis()), cert.Certificate.NotBefore
	err = t.InsertClientCert(ctx, queries.InsertClientCertParams{
		ID: cert.ID.String(), AccountID: cert.Account.String(), Fingerprint: cert.Fingerprint[:], Serial: cert.Serial[:],
		IssuerID: cert.Issuer.String(), Der: cert.Certificate.Raw, SpkiHash: cert.SPKIHash[:], CrlShard: int64(cert.CRLShard),
		NotAfter: cert.NotAfter.UnixMilli(), State: string(cert.State), CreatedAt: t.millis(), Name: cert.Name, NameKey: nameKey(cert.Name),
		NotBefore: millisOrNil(cert.NotBefore), UserID: textOrNil(cert.User),
	})
	if err != nil {
		return fmt.Errorf("insert client certificate %s: %w", cert.ID, err)
	}
	for _, credential := range cert.Credentials {
		if _, err := t.link(ctx, cert.Account, cert.ID, credential); err != nil {
			return err
		}
	}
	if err := t.changed(ctx, ChangeClientCert, cert.ID.String()); err != nil {
		return err
	}
	facts := map[string]any{"serial": cert.Serial.String(), "issuer": cert.Issuer, "not_after": cert.NotAfter}
	if cert.User != "" {
		facts["user"], facts["name"] = cert.User, cert.Name
	} else {
		facts["credentials"] = cert.Credentials
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Account: cert.Account, Action: "client_certificate.issue", Object: cert.ID.String(), Result: "ok", After: facts,
	})
}

// claimClientKey reports Conflict if the key is another account's. The row that it
// inserts makes two accounts that claim one key at once wait for each other.
func (t *txn) claimClientKey(ctx context.Context, spki [32]byte, account telamon.AccountID) error {
	err := t.ClaimClientKey(ctx, queries.ClaimClientKeyParams{SpkiHash: spki[:], AccountID: account.String()})
	if err != nil {
		return fmt.Errorf("claim client key: %w", err)
	}
	owners, err := t.ClientKeyOwner(ctx, spki[:])
	if err != nil {
		return fmt.Errorf("read owner of client key: %w", err)
	}
	if !slices.Contains(owners, account.String()) {
		return errOtherAccount()
	}
	return nil
}

// ClientKeyOwner returns the account that client certificates of the public key
// belong to, "" if there is none.
func (db *DB) ClientKeyOwner(ctx context.Context, spki [32]byte) (telamon.AccountID, error) {
	owners, err := db.queries().ClientKeyOwner(ctx, spki[:])
	if err != nil || len(owners) == 0 {
		return "", db.judge(ctx, err)
	}
	return telamon.AccountID(owners[0]), nil
}

// link links a client certificate to a credential of the same account, and reports
// whether it was not linked before.
func (t *txn) link(ctx context.Context, account telamon.AccountID, cert telamon.ClientCertID, credential telamon.CredentialID) (bool, error) {
	if _, err := t.credentialIn(ctx, account, credential); err != nil {
		return false, err
	}
	added, err := t.LinkClientCert(ctx, queries.LinkClientCertParams{
		ClientCertificateID: cert.String(), CredentialID: credential.String(), CreatedAt: t.millis(),
	})
	if err != nil {
		return false, fmt.Errorf("link certificate %s: %w", cert, err)
	}
	return added == 1, nil
}

// ClientCert returns a client certificate of the account. It reports NotFound.
func (db *DB) ClientCert(ctx context.Context, account telamon.AccountID, id telamon.ClientCertID) (telamon.ClientCert, error) {
	q := db.queries()
	row, err := q.ClientCert(ctx, queries.ClientCertParams{AccountID: account.String(), ID: id.String()})
	if err != nil {
		return telamon.ClientCert{}, db.judge(ctx, found(err, "client_certificate_not_found", "client certificate"))
	}
	return db.fullClientCert(ctx, q, row)
}

// ClientCertBySerial returns the DER of the client certificate of a serial number, whose
// issuers are all our own. It reports NotFound, also of one of a user: a number, which is
// no secret, must not stand for what alone is enough to act.
func (db *DB) ClientCertBySerial(ctx context.Context, serial telamon.Serial) ([]byte, error) {
	der, err := db.queries().ClientCertBySerial(ctx, serial[:])
	return der, db.judge(ctx, found(err, "client_certificate_not_found", "client certificate"))
}

// ClientCerts lists the client certificates of the account.
func (db *DB) ClientCerts(ctx context.Context, account telamon.AccountID, page Page) ([]telamon.ClientCert, error) {
	q := db.queries()
	rows, err := q.ClientCertsOfAccount(ctx, queries.ClientCertsOfAccountParams{
		AccountID: account.String(), After: page.After, Lim: page.limit(),
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list client certificates of %s: %w", account, err))
	}
	return mappedOrError(rows, func(r queries.ClientCertificate) (telamon.ClientCert, error) {
		return db.fullClientCert(ctx, q, r)
	})
}

// EndingClientCerts lists the active client certificates of all accounts, of users and for
// credentials, that end after one time and not after another, with their links and without
// their parsed form. It is for what looks at all of them now and then.
func (db *DB) EndingClientCerts(ctx context.Context, after, until time.Time, page Page) ([]telamon.ClientCert, error) {
	q := db.queries()
	rows, err := q.EndingClientCerts(ctx, queries.EndingClientCertsParams{
		After: page.After, EndsAfter: after.UnixMilli(), EndsUntil: until.UnixMilli(), Lim: page.limit(),
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list client certificates that end: %w", err))
	}
	certs := make([]telamon.ClientCert, len(rows))
	for i, r := range rows {
		certs[i] = clientCertOf(queries.ClientCertFactsRow(r))
		links, err := q.ClientCertLinks(ctx, r.ID)
		if err != nil {
			return nil, db.judge(ctx, fmt.Errorf("read links of client certificate %s: %w", r.ID, err))
		}
		certs[i].Credentials = mapped(links, toCredentialID)
	}
	return certs, nil
}

// fullClientCert adds the parsed certificate and the links.
func (db *DB) fullClientCert(ctx context.Context, q *queries.Queries, r queries.ClientCertificate) (telamon.ClientCert, error) {
	cert, err := parsedClientCert(r)
	if err != nil {
		return cert, err
	}
	links, err := q.ClientCertLinks(ctx, r.ID)
	if err != nil {
		return cert, db.judge(ctx, fmt.Errorf("read links of client certificate %s: %w", r.ID, err))
	}
	cert.Credentials = mapped(links, toCredentialID)
	return cert, nil
}

// parsedClientCert adds the parsed certificate.
func parsedClientCert(r queries.ClientCertificate) (telamon.ClientCert, error) {
	cert := clientCertOf(queries.ClientCertFactsRow{
		ID: r.ID, AccountID: r.AccountID, Fingerprint: r.Fingerprint, Serial: r.Serial, IssuerID: r.IssuerID, SpkiHash: r.SpkiHash,
		CrlShard: r.CrlShard, NotAfter: r.NotAfter, State: r.State, CreatedAt: r.CreatedAt, UserID: r.UserID, Name: r.Name,
		NotBefore: r.NotBefore, FirstUsedAt: r.FirstUsedAt, DeletedAt: r.DeletedAt,
	})
	var err error
	if cert.Certificate, err = x509.ParseCertificate(r.Der); err != nil {
		return cert, fmt.Errorf("read client certificate %s: %w", r.ID, err)
	}
	cert.NotBefore = cert.Certificate.NotBefore
	return cert, nil
}

// SetClientCertState disables or enables a client certificate, or revokes it for a
// reason, which is not used otherwise. It reports NotFound, and Conflict if the
// certificate's state does not allow it.
func (db *DB) SetClientCertState(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.ClientCertID, to telamon.State, reason telamon.RevocationReason) error {
	var serial []byte
	err := db.update(ctx, func(t *txn) error {
		row, err := t.ClientCert(ctx, queries.ClientCertParams{AccountID: account.String(), ID: id.String()})
		if err != nil {
			return found(err, "client_certificate_not_found", "client certificate")
		}
		from := telamon.State(row.State)
		serial = row.Serial
		if err := checkStateChange(from, to); err != nil {
			return err
		}
		change := queries.SetClientCertStateParams{
			AccountID: account.String(), ID: id.String(), FromState: string(from), ToState: string(to),
		}
		event := stateEvent(actor, account, "client_certificate", id.String(), from, to)
		if to == telamon.Revoked {
			now, why := t.millis(), string(reason)
			change.RevokedAt, change.Reason = &now, &why
			event.After = map[string]any{"state": to, "reason": reason}
		}
		if err := mustChange(t.SetClientCertState(ctx, change)); err != nil {
			return fmt.Errorf("change state of client certificate %s: %w", id, err)
		}
		if to == telamon.Revoked && reason == telamon.ReasonKeyCompromise {
			if _, err := t.blockKey(ctx, clientKeyBlock(actor, row)); err != nil {
				return err
			}
		}
		if to == telamon.Revoked {
			if err := t.reviseShards(ctx, map[shardKey]bool{{row.IssuerID, row.CrlShard}: true}); err != nil {
				return err
			}
		}
		if err := t.changed(ctx, ChangeClientCert, id.String()); err != nil {
			return err
		}
		return t.audit(ctx, event)
	})
	if err == nil && to == telamon.Revoked {
		db.revoked(telamon.Serial(serial))
	}
	return err
}

// ChangeClientCertLinks links a client certificate to the credentials of add and
// unlinks it from those of remove. It reports NotFound if any of them is not the
// account's, and Conflict if the certificate is revoked or a user's, or a credential deleted.
func (db *DB) ChangeClientCertLinks(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.ClientCertID, add, remove []telamon.CredentialID) error {
	return db.update(ctx, func(t *txn) error {
		row, err := t.ClientCert(ctx, queries.ClientCertParams{AccountID: account.String(), ID: id.String()})
		if err != nil {
			return found(err, "client_certificate_not_found", "client certificate")
		}
		if telamon.State(row.State) == telamon.Revoked || row.UserID != nil {
			return fault.New(fault.Conflict, "wrong_state", "The client certificate is revoked, or a user's.")
		}
		for _, credential := range add {
			if _, err := t.link(ctx, account, id, credential); err != nil {
				return err
			}
		}
		for _, credential := range remove {
			n, err := t.UnlinkClientCert(ctx, queries.UnlinkClientCertParams{ClientCertificateID: id.String(), CredentialID: credential.String()})
			if err != nil {
				return fmt.Errorf("unlink certificate %s: %w", id, err)
			}
			if n == 0 {
				return fault.New(fault.NotFound, "link_not_found", "The client certificate is not linked to this credential.")
			}
		}
		if err := t.changed(ctx, ChangeClientCert, id.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "client_certificate.link", Object: id.String(), Result: "ok",
			After: map[string]any{"added": add, "removed": remove},
		})
	})
}

// NoteFirstUse writes that the actor's client certificate was used at a time for the first
// time, and the audit event of it, unless an earlier use is noted or there is no such
// certificate any more.
func (db *DB) NoteFirstUse(ctx context.Context, actor telamon.Actor, at time.Time) error {
	return db.update(ctx, func(t *txn) error {
		first, err := t.NoteFirstUse(ctx, queries.NoteFirstUseParams{
			AccountID: actor.Account.String(), ID: actor.ClientCert.String(), At: millisOrNil(at),
		})
		if err != nil {
			return fmt.Errorf("note first use of client certificate %s: %w", actor.ClientCert, err)
		}
		if first == 0 {
			return nil
		}
		if err := t.changed(ctx, ChangeClientCert, actor.ClientCert.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: actor.Account, Action: "client_certificate.use", Object: actor.ClientCert.String(), Result: "ok",
			After: map[string]any{"first_used_at": at.UTC()},
		})
	})
}

// noteStep is how many uses one transaction notes.
const noteStep = 500

// NoteClientCertUses writes when client certificates were used last, unless a later use is
// noted or there is no such certificate any more, in transactions of a bounded size.
func (db *DB) NoteClientCertUses(ctx context.Context, uses map[telamon.ClientCertID]time.Time) error {
	ids := slices.Sorted(maps.Keys(uses)) // in one order, so that replicas do not wait for each other in a circle
	for part := range slices.Chunk(ids, noteStep) {
		err := db.update(ctx, func(t *txn) error {
			for _, id := range part {
				if err := t.NoteClientCertUse(ctx, queries.NoteClientCertUseParams{ID: id.String(), At: uses[id].UnixMilli()}); err != nil {
					return fmt.Errorf("note use of client certificate %s: %w", id, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// UserCertUses returns when client certificates of the account's users were used last, as
// far as it was noted.
func (db *DB) UserCertUses(ctx context.Context, account telamon.AccountID) (map[telamon.ClientCertID]time.Time, error) {
	rows, err := db.queries().UserCertUses(ctx, account.String())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read uses of client certificates of %s: %w", account, err))
	}
	uses := make(map[telamon.ClientCertID]time.Time, len(rows))
	for _, r := range rows {
		uses[telamon.ClientCertID(r.ClientCertificateID)] = timeOf(r.UsedAt)
	}
	return uses, nil
}

// clientCertOf returns a client certificate without its parsed form and links.
func clientCertOf(r queries.ClientCertFactsRow) telamon.ClientCert {
	cert := telamon.ClientCert{
		ID: telamon.ClientCertID(r.ID), Account: telamon.AccountID(r.AccountID), Fingerprint: [32]byte(r.Fingerprint),
		Serial: telamon.Serial(r.Serial), Issuer: telamon.IssuerID(r.IssuerID), SPKIHash: [32]byte(r.SpkiHash),
		CRLShard: int(r.CrlShard), NotAfter: timeOf(r.NotAfter), State: telamon.State(r.State), CreatedAt: timeOf(r.CreatedAt),
		Name: r.Name, NotBefore: timeOrZero(r.NotBefore), FirstUsedAt: timeOrZero(r.FirstUsedAt), DeletedAt: timeOrZero(r.DeletedAt),
	}
	if r.UserID != nil {
		cert.User = telamon.UserID(*r.UserID)
	}
	return cert
}

func toCredentialID(s string) telamon.CredentialID { return telamon.CredentialID(s) }
