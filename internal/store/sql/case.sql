-- name: InsertCase :exec
INSERT INTO revocation_case (id, category, summary, reporter, serials, state, reported_at, due_at, closed_by, outcome, created_at)
VALUES (sqlc.arg(id), sqlc.arg(category), sqlc.arg(summary), sqlc.arg(reporter), sqlc.arg(serials), 'open', sqlc.arg(reported_at),
        sqlc.arg(due_at), '', '', sqlc.arg(created_at));

-- name: CaseByID :one
SELECT id, category, summary, reporter, serials, state, reported_at, due_at, told_at, closed_at, closed_by, outcome, created_at
  FROM revocation_case WHERE id = sqlc.arg(id);

-- name: Cases :many
SELECT id, category, summary, reporter, serials, state, reported_at, due_at, told_at, closed_at, closed_by, outcome, created_at
  FROM revocation_case WHERE id > sqlc.arg(after) ORDER BY id LIMIT sqlc.arg(lim);

-- name: OpenCases :many
SELECT id, category, summary, reporter, serials, state, reported_at, due_at, told_at, closed_at, closed_by, outcome, created_at
  FROM revocation_case WHERE state = 'open' ORDER BY due_at, id;

-- name: CloseCase :execrows
UPDATE revocation_case SET state = 'closed', closed_at = CAST(sqlc.arg(now) AS BIGINT), closed_by = sqlc.arg(closed_by), outcome = sqlc.arg(outcome)
 WHERE id = sqlc.arg(id) AND state = 'open';

-- name: NoteCaseTold :execrows
UPDATE revocation_case SET told_at = CAST(sqlc.arg(now) AS BIGINT)
 WHERE id = sqlc.arg(id) AND state = 'open' AND told_at IS NULL;
