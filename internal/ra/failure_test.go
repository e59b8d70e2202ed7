package ra_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/ra"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/testkit/invariant"
)

// attempts are the use cases that issue: each step of both can fail.
func attempts(serial telamon.Serial) map[string]func(context.Context, *customer, telamon.Actor, *subjectKey) (telamon.Serial, error) {
	return map[string]func(context.Context, *customer, telamon.Actor, *subjectKey) (telamon.Serial, error){
		"certificate.issue": func(ctx context.Context, c *customer, actor telamon.Actor, key *subjectKey) (telamon.Serial, error) {
			return c.w.ra.Issue(ctx, actor, request(key.csr, "www.example.com"))
		},
		"certificate.rekey": func(ctx context.Context, c *customer, actor telamon.Actor, key *subjectKey) (telamon.Serial, error) {
			return c.w.ra.Rekey(ctx, actor, serial, &ra.RekeyRequest{PublicKey: key.csr})
		},
	}
}

// mustIssueAgain issues, to show that a failure has passed.
func (c *customer) mustIssueAgain(t *testing.T, before standing) {
	t.Helper()
	c.mustStand(t, before)
	c.issue(t, "www.example.com")
	after := standing{before.issued + 1, before.revoked, before.quota - 1, before.listed + 1, before.expiring + 1}
	c.mustStand(t, after)
}

// TestKeystoreFails lets the keystore refuse to sign.
func TestKeystoreFails(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 9)
		serial := c.issue(t, "www.example.com")
		for action, attempt := range attempts(serial) {
			t.Run(action, func(t *testing.T) {
				before, actor := c.standing(t), c.actor()
				w.keys.before = func() error { return errors.New("the token was pulled out") }
				_, err := attempt(t.Context(), c, actor, newKey(t))
				w.keys.before = nil
				mustBe(t, err, fault.Unavailable, "signing_failed")
				object := ""
				if action == "certificate.rekey" {
					object = serial.String()
				}
				w.mustAudit(t, actor, action, object, "signing_failed")
				if strings.Contains(fault.From(err).Detail, "token") {
					t.Errorf("the caller is told %q", fault.From(err).Detail)
				}
				c.mustIssueAgain(t, before)
			})
		}
	})
}

// TestDatabaseGone closes the database at each place of a request.
func TestDatabaseGone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 20)
		serial := c.issue(t, "www.example.com")
		for action, attempt := range attempts(serial) {
			t.Run(action+" before it begins", func(t *testing.T) {
				before, actor := c.standing(t), c.actor()
				must(t, w.db.Close())
				_, err := attempt(t.Context(), c, actor, newKey(t))
				mustBe(t, err, fault.Unavailable, "store_unavailable")
				w.restart(t)
				c.mustIssueAgain(t, before)
			})
			t.Run(action+" when it was signed", func(t *testing.T) {
				before, actor := c.standing(t), c.actor()
				w.keys.after = func() { must(t, w.db.Close()) }
				lost, err := attempt(t.Context(), c, actor, newKey(t))
				w.keys.after = nil
				mustBe(t, err, fault.Unavailable, "store_unavailable")
				w.restart(t)
				_, _, err = w.ra.Certificate(t.Context(), c.actor(), lost)
				mustBe(t, err, fault.NotFound, "certificate_not_found")
				c.mustIssueAgain(t, before)
			})
			t.Run(action+" when it was answered", func(t *testing.T) {
				issued, err := attempt(t.Context(), c, c.actor(), newKey(t))
				must(t, err)
				after := c.standing(t)
				w.restart(t)
				c.certificate(t, issued)
				c.mustStand(t, after)
			})
		}
		t.Run("refusals", func(t *testing.T) {
			must(t, w.db.Close())
			ctx := t.Context()
			_, err := w.ra.Issue(ctx, c.actor(), request("no key", "www.example.com"))
			mustBe(t, err, fault.Invalid, "policy") // although it could not be audited
			if !strings.Contains(w.log.String(), "not audited") {
				t.Error("nobody is told that a refusal was not audited")
			}
			w.restart(t)
		})
		t.Run("the other use cases", func(t *testing.T) {
			before := c.standing(t)
			must(t, w.db.Close())
			ctx := t.Context()
			mustBe(t, w.ra.Revoke(ctx, c.actor(), serial, ra.Revocation{Reason: telamon.ReasonSuperseded}), fault.Unavailable, "store_unavailable")
			_, _, err := w.ra.Certificate(ctx, c.actor(), serial)
			mustBe(t, err, fault.Unavailable, "store_unavailable")
			_, err = w.ra.IssuedCount(ctx, c.actor())
			mustBe(t, err, fault.Unavailable, "store_unavailable")
			_, err = w.ra.RevokedCount(ctx, c.actor())
			mustBe(t, err, fault.Unavailable, "store_unavailable")
			_, err = w.ra.Quota(ctx, c.actor())
			mustBe(t, err, fault.Unavailable, "store_unavailable")
			_, _, err = w.ra.List(ctx, c.actor(), 0, w.clock.Now(), w.clock.Now(), 1, 1)
			mustBe(t, err, fault.Unavailable, "store_unavailable")
			w.restart(t)
			c.mustStand(t, before)
			if entry, _ := c.certificate(t, serial); entry.Status != telamon.StatusIssued {
				t.Errorf("the certificate is %s", entry.Status)
			}
		})
	})
}

// TestTableGone takes away each table that the transaction of an issuance writes,
// so that it fails before, between and after its other rows.
func TestTableGone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 50)
		serial := c.issue(t, "www.example.com")
		behind := w.behind(t)
		rename := func(t *testing.T, from, to string) {
			t.Helper()
			_, err := behind.ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to)
			must(t, err)
		}
		for _, table := range []string{
			"quota_lot", "certificate", "certificate_der", "audit_event", "counter", "hour_count", "second_count", "commit_marker",
		} {
			for action, attempt := range attempts(serial) {
				t.Run(action+" without "+table, func(t *testing.T) {
					before, actor := c.standing(t), c.actor()
					w.keys.after = func() { rename(t, table, "hidden") }
					lost, err := attempt(t.Context(), c, actor, newKey(t))
					w.keys.after = nil
					rename(t, "hidden", table)
					if err == nil || fault.Is(err, fault.Invalid) || fault.Is(err, fault.Limited) || fault.Is(err, fault.Denied) {
						t.Errorf("without the table the error is %v", err)
					}
					_, _, err = w.ra.Certificate(t.Context(), c.actor(), lost)
					mustBe(t, err, fault.NotFound, "certificate_not_found")
					c.mustIssueAgain(t, before)
				})
			}
		}
	})
}

// TestConnectionLostInCommit ends the connection in the first COMMIT of an
// issuance, when all was written: it is issued once, by a second transaction.
func TestConnectionLostInCommit(t *testing.T) {
	w := newWorld(t, dbtest.Postgres(t), testkit.NewClock(t, now))
	c := w.customer(t, metered(), 9)
	c.issue(t, "www.example.com")
	before, behind := c.standing(t), w.behind(t)
	for _, statement := range []string{
		"CREATE SEQUENCE commits",
		"CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN" +
			" IF nextval('commits') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL; END $$",
		"CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON certificate DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lose()",
	} {
		_, err := behind.ExecContext(t.Context(), statement)
		must(t, err)
	}
	actor := c.actor()
	serial, err := w.ra.Issue(t.Context(), actor, request(newKey(t).csr, "www.example.com"))
	must(t, err)
	var commits int
	must(t, behind.QueryRowContext(t.Context(), "SELECT last_value FROM commits").Scan(&commits))
	if commits != 2 {
		t.Errorf("the certificate was stored by transaction %d, want the second", commits)
	}
	c.certificate(t, serial)
	w.mustAudit(t, actor, "certificate.issue", serial.String(), "ok")
	c.mustStand(t, standing{before.issued + 1, 0, before.quota - 1, before.listed + 1, before.expiring + 1})
	invariant.Check(t, w.db)
}

// behind opens the database behind the store's back.
func (w *world) behind(t *testing.T) *sql.DB {
	t.Helper()
	driver, name := "pgx", w.url
	if path, ok := strings.CutPrefix(w.url, "sqlite:"); ok {
		driver, name = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, name)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// TestClientGone ends the client's context before the request and when it was
// signed: nothing is issued for an answer that nobody waits for, and what was signed
// or refused is audited all the same, once.
func TestClientGone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.customer(t, metered(), 9)
		serial := c.issue(t, "www.example.com")
		before := c.standing(t)
		for action, attempt := range attempts(serial) {
			t.Run(action+" before it begins", func(t *testing.T) {
				if _, err := attempt(gone(t), c, c.actor(), newKey(t)); err == nil {
					t.Error("the request succeeded")
				}
				c.mustStand(t, before)
			})
			t.Run(action+" when it was signed", func(t *testing.T) {
				actor := c.actor()
				ctx, cancel := context.WithCancel(t.Context())
				w.keys.after = cancel
				lost, err := attempt(ctx, c, actor, newKey(t))
				w.keys.after = nil
				if err == nil {
					t.Error("the request succeeded")
				}
				for end := time.Now().Add(30 * time.Second); len(w.events(t, actor)) == 0 && time.Now().Before(end); {
					runtime.Gosched() // nobody is told when it is written
				}
				w.mustAudit(t, actor, action, lost.String(), "canceled")
				c.mustStand(t, before)
			})
		}
		t.Run("refused", func(t *testing.T) {
			actor := c.actor()
			_, err := w.ra.Issue(gone(t), actor, request("no key", rand.Text()))
			mustBe(t, err, fault.Invalid, "policy")
			w.mustAudit(t, actor, "certificate.issue", "", "policy")
		})
		c.mustIssueAgain(t, before)
	})
}
