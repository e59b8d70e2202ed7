package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/telamon-ca/telamon/internal/fault"
)

// SQLite's primary result codes (sqlite.org/rescode.html).
const (
	sqliteError      = 1 // a wrong statement
	sqliteTooBig     = 18
	sqliteConstraint = 19
	sqliteMismatch   = 20
)

// sqliteCode returns the primary result code of a SQLite error.
func sqliteCode(err error) (code int, ok bool) {
	lite, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return 0, false
	}
	return lite.Code() & 0xff, true
}

// postgresCode returns the SQLSTATE of a PostgreSQL error.
func postgresCode(err error) (code string, ok bool) {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return "", false
	}
	return pg.Code, true
}

// errAgain asks for the transaction to be run again.
var errAgain = errors.New("run the transaction again")

// retryable reports whether a transaction that failed with err, and is not
// committed, should be run again at once.
func retryable(err error) bool {
	if code, ok := postgresCode(err); ok {
		return code == "40001" || code == "40P01" || // serialization failure, deadlock
			(isConnectionLoss(code) && !isConnecting(err))
	}
	if isFault(err) || isTimeout(err) || isConnecting(err) {
		return false
	}
	return errors.Is(err, errAgain) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || isNetwork(err)
}

// isConnectionLoss reports whether the SQLSTATE says that the server ended the
// connection: class 08, and operator intervention but for a cancelled statement.
func isConnectionLoss(code string) bool {
	return strings.HasPrefix(code, "08") || code == "57P01" || code == "57P02" || code == "57P05" || code == "25P03"
}

// isConnecting reports whether no connection could be made: trying at once again
// would not help.
func isConnecting(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

func isNetwork(err error) bool {
	_, ok := errors.AsType[net.Error](err)
	return ok || errors.Is(err, net.ErrClosed)
}

// isTimeout reports whether a context ended.
func isTimeout(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Fault](err)
	return ok
}

// isConstraint reports whether err says that a row breaks a rule: the failure is
// then the row's, not the database's.
func isConstraint(err error) bool {
	if code, ok := postgresCode(err); ok {
		// Integrity constraint violation, data exception, program limit exceeded.
		return strings.HasPrefix(code, "23") || strings.HasPrefix(code, "22") || strings.HasPrefix(code, "54")
	}
	code, ok := sqliteCode(err)
	return ok && (code == sqliteConstraint || code == sqliteTooBig || code == sqliteMismatch)
}

// isMistake reports whether err is about what we asked and not about the
// database: a wrong statement, a lock that others hold, or no row.
func isMistake(err error) bool {
	if code, ok := postgresCode(err); ok {
		// Syntax error or access rule, feature not supported, object in use.
		return strings.HasPrefix(code, "42") || strings.HasPrefix(code, "0A") || strings.HasPrefix(code, "55")
	}
	code, ok := sqliteCode(err)
	return ok && code == sqliteError || errors.Is(err, sql.ErrNoRows)
}

// uniqueColumns names the columns of each unique constraint, which is all that
// SQLite tells of it.
var uniqueColumns = map[string]string{
	"account_name_is_unique":               "account.name",
	"account_user_email_is_unique":         "account_user.email",
	"account_user_friendly_name_is_unique": "account_user.account_id, account_user.name_key",
	"api_token_name_is_unique":             "api_token.user_id, api_token.name_key",
	"api_token_lookup_is_unique":           "api_token.lookup",
	"client_certificate_name_is_unique":    "client_certificate.user_id, client_certificate.name_key",
	"key_pair_name_is_unique":              "key_pair.account_id, key_pair.name_key",
	"key_pair_key_is_unique":               "key_pair.key_name",
	"passkey_is_unique":                    "passkey.credential_id",
	"session_value_is_unique":              "session.value_hash",
	"key_pair_serial_is_unique":            "key_pair.serial",
	"service_name_is_unique":               "service.name",
	"issuer_series_name_is_unique":         "issuer_series.name",
	"hierarchy_name_is_unique":             "hierarchy.name",
	"issuer_one_active":                    "issuer.series_id",
	"pair_is_unique":                       "pair.subscription_id, pair.identity_id",
	"credential_name_is_unique":            "credential.account_id, credential.name",
	"credential_key_is_unique":             "credential.api_key",
	"client_certificate_is_unique":         "client_certificate.fingerprint",
	"client_certificate_serial_is_unique":  "client_certificate.serial",
	"ocsp_responder_serial_is_unique":      "ocsp_responder.serial",
	"claim_is_unique":                      "claim.identity_id, claim.kind, claim.name",
	"vetting_case_number_is_unique":        "vetting_case.number",
	"vetting_case_one_is_open":             "vetting_case.identity_id",
	"job_key_is_unique":                    "job.kind, job.key",
	"issuer_plan_instant_is_unique":        "issuer_plan.series_id, issuer_plan.activate_at",
	"issuer_notice_is_given_once":          "issuer_notice.issuer_id, issuer_notice.activate_at, issuer_notice.days, issuer_notice.account_id",
	"issuer_plan_key_is_unique":            "issuer_plan.key_name",
	"cross_certificate_one_active":         "cross_certificate.issuer_id",
	"cross_certificate_is_unique":          "cross_certificate.certificate",
	"saved_view_name_is_unique":            "saved_view.user_id, saved_view.name",
}

// violates reports whether err says that the named constraint was violated.
func violates(err error, constraint string) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.ConstraintName == constraint
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok && lite.Code()&0xff == sqliteConstraint {
		if columns, unique := uniqueColumns[constraint]; unique {
			return strings.Contains(lite.Error(), "UNIQUE constraint failed: "+columns+" ")
		}
		return strings.Contains(lite.Error(), "CHECK constraint failed: "+constraint+" ")
	}
	return false
}

// unavailable is the fault of a database that does not answer.
func unavailable(cause error) *fault.Fault {
	return &fault.Fault{
		Kind: fault.Unavailable, Code: "store_unavailable", Detail: "The service is busy. Retry later.",
		RetryAfter: 2 * time.Second, Cause: cause,
	}
}
