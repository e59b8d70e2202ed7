package store

import (
	"context"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A Download is a PKCS #12 file that waits to be fetched once.
type Download struct {
	Hash   [32]byte      // of the value that fetches it, which opens Sealed too and is not kept
	Sealed []byte        // the file, encrypted
	Life   time.Duration // for how long it waits
}

// CreateUserCert writes a new client certificate of a user, with the file of its key if
// that was made here (nil otherwise), and sets its State, CreatedAt and NotBefore. It
// reports NotFound if the account has no such user, and Conflict with name_taken, and with
// what [DB.CreateClientCert] reports of the key.
func (db *DB) CreateUserCert(ctx context.Context, actor telamon.Actor, cert *telamon.ClientCert, file *Download) error {
	err := db.update(ctx, func(t *txn) error {
		if err := t.mustHaveAccount(ctx, cert.Account); err != nil {
			return err
		}
		if _, err := t.lockUser(ctx, cert.Account, cert.User); err != nil {
			return err
		}
		if err := t.insertClientCert(ctx, actor, cert); err != nil || file == nil {
			return err
		}
		err := t.InsertDownload(ctx, queries.InsertDownloadParams{
			ClientCertificateID: cert.ID.String(), TokenHash: file.Hash[:], Sealed: file.Sealed, ExpiresAt: t.now.Add(file.Life).UnixMilli(),
		})
		if err != nil {
			return fmt.Errorf("insert file of client certificate %s: %w", cert.ID, err)
		}
		return nil
	})
	if violates(err, "client_certificate_name_is_unique") {
		return ErrCertName(cert.Name)
	}
	return err
}

// ErrCertName is the fault of a name that another certificate of the user has.
func ErrCertName(name string) error {
	return fault.New(fault.Conflict, "name_taken", "Nickname "+name+" already exists. Enter a different nickname.")
}

// UserCerts returns all client certificates of a user that are not deleted, in the order
// of their making.
func (db *DB) UserCerts(ctx context.Context, account telamon.AccountID, user telamon.UserID) ([]telamon.ClientCert, error) {
	rows, err := db.queries().ClientCertsOfUser(ctx, queries.ClientCertsOfUserParams{AccountID: account.String(), UserID: textOrNil(user)})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list client certificates of %s: %w", user, err))
	}
	return mappedOrError(rows, parsedClientCert)
}

// maxUserCertsShown is how many client certificates of users a list of an account has.
const maxUserCertsShown = 10_000

// UserCertsOfAccount returns the client certificates of all users of the account that are
// not deleted, the newest first and 10,000 at most, without their parsed form.
func (db *DB) UserCertsOfAccount(ctx context.Context, account telamon.AccountID) ([]telamon.ClientCert, error) {
	rows, err := db.queries().UserCertFactsOfAccount(ctx, queries.UserCertFactsOfAccountParams{AccountID: account.String(), Lim: maxUserCertsShown})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list client certificates of users of %s: %w", account, err))
	}
	return mapped(rows, func(r queries.UserCertFactsOfAccountRow) telamon.ClientCert {
		return clientCertOf(queries.ClientCertFactsRow(r))
	}), nil
}

// UserCert returns a client certificate of a user of the account. It reports NotFound, of
// a deleted one and of one for credentials too.
func (db *DB) UserCert(ctx context.Context, account telamon.AccountID, id telamon.ClientCertID) (telamon.ClientCert, error) {
	row, err := userCertIn(ctx, db.queries(), account, id)
	if err != nil {
		return telamon.ClientCert{}, db.judge(ctx, err)
	}
	return parsedClientCert(row)
}

func userCertIn(ctx context.Context, q *queries.Queries, account telamon.AccountID, id telamon.ClientCertID) (queries.ClientCertificate, error) {
	row, err := q.ClientCert(ctx, queries.ClientCertParams{AccountID: account.String(), ID: id.String()})
	if err != nil {
		return row, found(err, "client_certificate_not_found", "client certificate")
	}
	if row.UserID == nil || row.DeletedAt != nil {
		return row, fault.New(fault.NotFound, "client_certificate_not_found", "There is no such client certificate.")
	}
	return row, nil
}

// HasUserCert reports whether the user has a client certificate of the name, without
// regard to case, that is not deleted.
func (db *DB) HasUserCert(ctx context.Context, account telamon.AccountID, user telamon.UserID, name string) (bool, error) {
	rows, err := db.queries().ClientCertNamed(ctx, queries.ClientCertNamedParams{
		AccountID: account.String(), UserID: textOrNil(user), NameKey: nameKey(name),
	})
	if err != nil {
		return false, db.judge(ctx, fmt.Errorf("look for the name of a client certificate of %s: %w", user, err))
	}
	return len(rows) > 0, nil
}

// TokenEnds returns the ends of the user's API tokens that are enabled, the zero time for
// one that has none. They may have passed.
func (db *DB) TokenEnds(ctx context.Context, account telamon.AccountID, user telamon.UserID) ([]time.Time, error) {
	rows, err := db.queries().ActiveTokenEnds(ctx, queries.ActiveTokenEndsParams{AccountID: account.String(), UserID: user.String()})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read the ends of API tokens of %s: %w", user, err))
	}
	return mapped(rows, timeOrZero), nil
}

// SetUserCertEnabled enables or disables a client certificate of a user and returns it.
// What is so already stays as it is, and nothing is written. It reports NotFound, and
// Invalid with client_certificate_revoked or client_certificate_expired for one that
// cannot be enabled.
func (db *DB) SetUserCertEnabled(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.ClientCertID, enabled bool) (telamon.ClientCert, error) {
	var row queries.ClientCertificate
	err := db.update(ctx, func(t *txn) (err error) {
		if row, err = userCertIn(ctx, t.Queries, account, id); err != nil {
			return err
		}
		from, to := telamon.State(row.State), telamon.Disabled
		if enabled {
			to = telamon.Active
			if err := mayBeEnabled(from, timeOf(row.NotAfter), t.now); err != nil {
				return err
			}
		}
		if from == to || from == telamon.Revoked { // which is as good as disabled
			return nil
		}
		err = mustChange(t.SetClientCertState(ctx, queries.SetClientCertStateParams{
			AccountID: account.String(), ID: id.String(), FromState: string(from), ToState: string(to),
		}))
		if err != nil {
			return fmt.Errorf("change state of client certificate %s: %w", id, err)
		}
		row.State = string(to)
		if err := t.changed(ctx, ChangeClientCert, id.String()); err != nil {
			return err
		}
		return t.audit(ctx, stateEvent(actor, account, "client_certificate", id.String(), from, to))
	})
	if err != nil {
		return telamon.ClientCert{}, err
	}
	return parsedClientCert(row)
}

func mayBeEnabled(from telamon.State, notAfter, now time.Time) error {
	switch {
	case from == telamon.Revoked:
		return fault.New(fault.Invalid, "client_certificate_revoked", "enabled: a revoked certificate cannot be enabled again")
	case !now.Before(notAfter.Add(time.Second)):
		return fault.New(fault.Invalid, "client_certificate_expired", "enabled: an expired certificate cannot be enabled")
	}
	return nil
}

// DeleteUserCert takes a client certificate of a user out of every list, frees its name,
// and revokes it as one that is used no more, unless it was revoked before. It reports
// NotFound.
func (db *DB) DeleteUserCert(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.ClientCertID) error {
	var serial []byte
	err := db.update(ctx, func(t *txn) error {
		row, err := userCertIn(ctx, t.Queries, account, id)
		if err != nil {
			return err
		}
		serial = row.Serial
		return t.deleteUserCert(ctx, actor, row)
	})
	if err == nil {
		db.revoked(telamon.Serial(serial))
	}
	return err
}

// deleteUserCert deletes a client certificate of a user in the transaction. The caller
// tells db.revoked of it afterwards.
func (t *txn) deleteUserCert(ctx context.Context, actor telamon.Actor, row queries.ClientCertificate) error {
	at, reason := t.millis(), string(telamon.ReasonCessationOfOperation)
	from, account := telamon.State(row.State), telamon.AccountID(row.AccountID)
	change := queries.DeleteClientCertParams{
		AccountID: row.AccountID, ID: row.ID, FromState: row.State, RevokedAt: &at, Reason: &reason, DeletedAt: &at,
	}
	if from == telamon.Revoked {
		change.RevokedAt, change.Reason = row.RevokedAt, row.Reason
	}
	if err := mustChange(t.DeleteClientCert(ctx, change)); err != nil {
		return fmt.Errorf("delete client certificate %s: %w", row.ID, err)
	}
	if _, err := t.DropDownload(ctx, row.ID); err != nil {
		return fmt.Errorf("drop the file of client certificate %s: %w", row.ID, err)
	}
	if from != telamon.Revoked {
		if err := t.reviseShards(ctx, map[shardKey]bool{{row.IssuerID, row.CrlShard}: true}); err != nil {
			return err
		}
	}
	if err := t.changed(ctx, ChangeClientCert, row.ID); err != nil {
		return err
	}
	event := stateEvent(actor, account, "client_certificate", row.ID, from, telamon.Deleted)
	event.After = map[string]any{"state": telamon.Deleted, "reason": change.Reason}
	return t.audit(ctx, event)
}

// TakeDownload returns the sealed PKCS #12 file of a client certificate and deletes it: of
// any number of callers one has it. It reports NotFound if there is none of this hash, and
// after its time; then nothing is written.
func (db *DB) TakeDownload(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.ClientCertID, hash [32]byte) ([]byte, error) {
	var sealed []byte
	none := fault.New(fault.NotFound, "download_not_found", "There is no such download.")
	err := db.update(ctx, func(t *txn) error {
		if _, err := userCertIn(ctx, t.Queries, account, id); err != nil {
			return err
		}
		row, err := t.Queries.Download(ctx, id.String())
		if err != nil {
			return found(err, "download_not_found", "download")
		}
		if subtle.ConstantTimeCompare(row.TokenHash, hash[:]) != 1 || t.millis() >= row.ExpiresAt {
			return none
		}
		n, err := t.DropDownload(ctx, id.String())
		if err != nil {
			return fmt.Errorf("take the file of client certificate %s: %w", id, err)
		}
		if n != 1 { // somebody was faster
			return none
		}
		sealed = row.Sealed
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "client_certificate.download", Object: id.String(), Result: "ok",
		})
	})
	if err != nil {
		return nil, err
	}
	return sealed, nil
}

// PurgeDownloads deletes the PKCS #12 files that nobody has fetched in time, in
// transactions of a bounded size.
func (db *DB) PurgeDownloads(ctx context.Context) error {
	for more := true; more; {
		err := db.update(ctx, func(t *txn) error {
			n, err := t.DropExpiredDownloads(ctx, queries.DropExpiredDownloadsParams{Before: t.millis(), Lim: purgeStep})
			if err != nil {
				return fmt.Errorf("purge downloads: %w", err)
			}
			more = n == purgeStep
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
