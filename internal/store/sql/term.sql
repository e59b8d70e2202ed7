-- name: TermProgress :many
SELECT pass, cursor, began_at FROM certificate_term_progress WHERE id = 1;

-- name: BeginTerms :exec
INSERT INTO certificate_term_progress (id, pass, cursor, began_at)
VALUES (1, 1, sqlc.arg(cursor), sqlc.arg(began_at))
ON CONFLICT (id) DO NOTHING;

-- name: AdvanceTerms :execrows
UPDATE certificate_term_progress SET pass = sqlc.arg(to_pass), cursor = sqlc.arg(next)
 WHERE id = 1 AND pass = sqlc.arg(pass) AND cursor = sqlc.arg(cursor);

-- name: CertificatesAfter :many
SELECT c.serial, c.pair_id, c.credential_id, c.spki_hash, c.accepted_at, c.not_after, c.rekey_of
  FROM certificate AS c
 WHERE c.serial > sqlc.arg(after) AND c.serial < sqlc.arg(before)
 ORDER BY c.serial LIMIT sqlc.arg(lim);

-- name: DropTerm :exec
DELETE FROM certificate_term
 WHERE pair_id = sqlc.arg(pair_id) AND term = sqlc.arg(term) AND accepted_at = sqlc.arg(accepted_at) AND serial = sqlc.arg(serial);

-- name: SumOfHours :one
SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM hour_count WHERE pair_id = sqlc.arg(pair_id) AND kind = sqlc.arg(kind);

-- name: CertificateRequester :many
SELECT user_id, user_name, agreement FROM certificate_requester WHERE serial = sqlc.arg(serial);

-- name: DropRequester :exec
DELETE FROM certificate_requester WHERE serial = sqlc.arg(serial);

-- name: InsertSavedView :exec
INSERT INTO saved_view (id, user_id, name, query, created_at)
VALUES (sqlc.arg(id), sqlc.arg(user_id), sqlc.arg(name), sqlc.arg(query), sqlc.arg(created_at));

-- name: SavedViews :many
SELECT id, user_id, name, query, created_at FROM saved_view WHERE user_id = sqlc.arg(user_id) ORDER BY name, id;

-- name: CountSavedViews :one
SELECT count(*) FROM saved_view WHERE user_id = sqlc.arg(user_id);

-- name: DropSavedView :execrows
DELETE FROM saved_view WHERE user_id = sqlc.arg(user_id) AND id = sqlc.arg(id);

-- name: HasTerm :one
SELECT EXISTS (SELECT 1 FROM certificate_term
 WHERE pair_id = sqlc.arg(pair_id) AND term = sqlc.arg(term) AND accepted_at = sqlc.arg(accepted_at) AND serial = sqlc.arg(serial));
