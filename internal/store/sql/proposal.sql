-- name: InsertProposal :exec
INSERT INTO proposal (id, action, summary, request, requested_by, state, created_at, expires_at, decided_by, outcome, account_id, user_id, reason)
VALUES (sqlc.arg(id), sqlc.arg(action), sqlc.arg(summary), sqlc.arg(request), sqlc.arg(requested_by), 'pending', sqlc.arg(created_at),
        sqlc.arg(expires_at), '', '', sqlc.arg(account_id), sqlc.arg(user_id), '');

-- name: Proposal :one
SELECT id, action, summary, request, requested_by, state, created_at, expires_at, decided_by, decided_at, outcome, account_id, user_id, reason
  FROM proposal WHERE id = sqlc.arg(id);

-- name: Proposals :many
SELECT id, action, summary, request, requested_by, state, created_at, expires_at, decided_by, decided_at, outcome, account_id, user_id, reason
  FROM proposal WHERE id > sqlc.arg(after) ORDER BY id LIMIT sqlc.arg(lim);

-- name: PendingProposals :many
SELECT id, action, summary, request, requested_by, state, created_at, expires_at, decided_by, decided_at, outcome, account_id, user_id, reason
  FROM proposal WHERE state = 'pending' AND expires_at > sqlc.arg(now) ORDER BY expires_at, id;

-- name: DecideProposal :execrows
UPDATE proposal SET state = sqlc.arg(to_state), decided_by = sqlc.arg(decided_by), decided_at = CAST(sqlc.arg(now) AS BIGINT),
       reason = sqlc.arg(reason)
 WHERE id = sqlc.arg(id) AND state = 'pending' AND expires_at > CAST(sqlc.arg(now) AS BIGINT);

-- name: ExpireProposal :execrows
UPDATE proposal SET state = 'expired' WHERE id = sqlc.arg(id) AND state = 'pending' AND expires_at <= sqlc.arg(now);

-- name: EndProposal :execrows
UPDATE proposal SET state = 'executed', outcome = sqlc.arg(outcome) WHERE id = sqlc.arg(id) AND state = 'begun';
