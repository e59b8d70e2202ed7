-- name: PutJob :exec
INSERT INTO job (id, kind, key, args, run_at, attempts, holder, lease_until, last_error, created_at)
VALUES (sqlc.arg(id), sqlc.arg(kind), sqlc.arg(key), sqlc.arg(args), sqlc.arg(run_at), 0, '', 0, '', sqlc.arg(created_at))
ON CONFLICT (kind, key) DO UPDATE SET id = excluded.id, args = excluded.args, run_at = excluded.run_at, attempts = 0, holder = '',
    lease_until = 0, last_error = '', created_at = excluded.created_at;

-- name: EnsureJob :exec
INSERT INTO job (id, kind, key, args, run_at, attempts, holder, lease_until, last_error, created_at)
VALUES (sqlc.arg(id), sqlc.arg(kind), sqlc.arg(key), '{}', sqlc.arg(run_at), 0, '', 0, '', sqlc.arg(created_at))
ON CONFLICT (kind, key) DO NOTHING;

-- The jobs are looked for once: PostgreSQL may run a sub-select more than once, and then
-- takes more than it was asked for.
-- name: TakeJobs :many
WITH due AS MATERIALIZED (
    SELECT j.id FROM job AS j
     WHERE j.kind = sqlc.arg(kind) AND j.run_at <= sqlc.arg(now) AND j.lease_until <= sqlc.arg(now)
     ORDER BY j.run_at, j.id LIMIT sqlc.arg(lim) FOR UPDATE SKIP LOCKED)
UPDATE job SET holder = sqlc.arg(holder), lease_until = sqlc.arg(lease_until), attempts = attempts + 1
 WHERE id IN (SELECT due.id FROM due)
RETURNING id, kind, key, args, run_at, attempts;

-- name: RenewJob :execrows
UPDATE job SET lease_until = sqlc.arg(lease_until) WHERE id = sqlc.arg(id) AND holder = sqlc.arg(holder);

-- name: FinishJob :execrows
DELETE FROM job WHERE id = sqlc.arg(id) AND holder = sqlc.arg(holder);

-- name: RepeatJob :execrows
UPDATE job SET run_at = sqlc.arg(run_at), attempts = sqlc.arg(attempts), holder = '', lease_until = 0, last_error = sqlc.arg(last_error)
 WHERE id = sqlc.arg(id) AND holder = sqlc.arg(holder);

-- name: DropJob :exec
DELETE FROM job WHERE kind = sqlc.arg(kind) AND key = sqlc.arg(key);

-- name: JobRunAt :one
SELECT run_at FROM job WHERE kind = sqlc.arg(kind) AND key = sqlc.arg(key);

-- name: JobsDue :many
SELECT kind, count(*) AS n, CAST(min(run_at) AS BIGINT) AS oldest FROM job WHERE run_at <= sqlc.arg(now) GROUP BY kind ORDER BY kind;

-- name: JobsOf :many
SELECT id, kind, key, args, run_at, attempts, holder, lease_until, last_error, created_at
  FROM job WHERE kind = sqlc.arg(kind) ORDER BY run_at, id LIMIT sqlc.arg(lim);

-- name: InsertMail :exec
INSERT INTO mail (id, account_id, recipient, template, params, state, last_error, created_at)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(recipient), sqlc.arg(template), sqlc.arg(params), 'queued', '', sqlc.arg(created_at));

-- name: Mail :one
SELECT id, account_id, recipient, template, params, state, last_error, created_at, ended_at
  FROM mail WHERE id = sqlc.arg(id);

-- name: MailsOf :many
SELECT id, account_id, recipient, template, params, state, last_error, created_at, ended_at FROM mail
 WHERE account_id = sqlc.arg(account_id) AND id < sqlc.arg(before)
 ORDER BY id DESC LIMIT sqlc.arg(lim);

-- name: AllMails :many
SELECT id, account_id, recipient, template, params, state, last_error, created_at, ended_at FROM mail
 WHERE id < sqlc.arg(before)
 ORDER BY id DESC LIMIT sqlc.arg(lim);

-- name: EndMail :execrows
UPDATE mail SET state = sqlc.arg(state), last_error = sqlc.arg(last_error), ended_at = CAST(sqlc.arg(now) AS BIGINT)
 WHERE id = sqlc.arg(id) AND state = 'queued';

-- name: OldestMails :many
SELECT id, created_at FROM mail ORDER BY id LIMIT sqlc.arg(lim);

-- name: DropMail :execrows
DELETE FROM mail WHERE id = sqlc.arg(id) AND state <> 'queued';

-- name: AllJobs :many
SELECT id, kind, key, args, run_at, attempts, holder, lease_until, last_error, created_at
  FROM job WHERE (sqlc.arg(kind) = '' OR kind = sqlc.arg(kind)) ORDER BY run_at, id LIMIT sqlc.arg(lim);

-- name: CountJobs :many
SELECT kind, count(*) AS n, CAST(min(run_at) AS BIGINT) AS first, CAST(max(attempts) AS BIGINT) AS attempts FROM job GROUP BY kind ORDER BY kind;

-- name: JobByID :one
SELECT id, kind, key, args, run_at, attempts, holder, lease_until, last_error, created_at FROM job WHERE id = sqlc.arg(id);

-- name: RunJobNow :execrows
UPDATE job SET run_at = CAST(sqlc.arg(now) AS BIGINT)
 WHERE id = sqlc.arg(id) AND run_at > CAST(sqlc.arg(now) AS BIGINT) AND lease_until <= CAST(sqlc.arg(now) AS BIGINT);
