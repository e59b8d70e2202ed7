-- name: NextVettingNumber :one
SELECT CAST(coalesce(max(number), 0) + 1 AS BIGINT) FROM vetting_case;

-- name: InsertVettingCase :exec
INSERT INTO vetting_case (id, number, account_id, identity_id, state, again, opened_at, opened_by)
VALUES (sqlc.arg(id), sqlc.arg(number), sqlc.arg(account_id), sqlc.arg(identity_id), 'queued', sqlc.arg(again),
        sqlc.arg(opened_at), sqlc.arg(opened_by));

-- name: VettingCase :one
SELECT id, number, account_id, identity_id, state, again, opened_at, opened_by, processed_at, processed_by, ended_at, ended_by,
       reason
  FROM vetting_case WHERE id = sqlc.arg(id);

-- name: LockVettingCase :one
SELECT id, number, account_id, identity_id, state, again, opened_at, opened_by, processed_at, processed_by, ended_at, ended_by,
       reason
  FROM vetting_case WHERE id = sqlc.arg(id) FOR UPDATE;

-- name: OpenVettingCase :many
SELECT id, number, account_id, identity_id, state, again, opened_at, opened_by, processed_at, processed_by, ended_at, ended_by,
       reason
  FROM vetting_case WHERE identity_id = sqlc.arg(identity_id) AND ended_at IS NULL;

-- name: VettingCasesOf :many
SELECT id, number, account_id, identity_id, state, again, opened_at, opened_by, processed_at, processed_by, ended_at, ended_by,
       reason
  FROM vetting_case WHERE account_id = sqlc.arg(account_id) AND identity_id = sqlc.arg(identity_id)
 ORDER BY number DESC LIMIT sqlc.arg(lim);

-- name: VettingQueue :many
SELECT c.id, c.number, c.account_id, c.identity_id, c.state, c.again, c.opened_at, c.opened_by, c.processed_at, c.processed_by,
       c.ended_at, c.ended_by, c.reason, a.name AS account_name, i.name AS identity_name, i.kind AS identity_kind, i.data AS identity_data
  FROM vetting_case c JOIN account a ON a.id = c.account_id JOIN identity i ON i.id = c.identity_id
 WHERE c.state = sqlc.arg(state) AND c.number > sqlc.arg(after)
   AND (CAST(sqlc.arg(agent) AS TEXT) = '' OR c.processed_by = CAST(sqlc.arg(agent) AS TEXT) OR c.ended_by = CAST(sqlc.arg(agent) AS TEXT)
        OR EXISTS (SELECT 1 FROM vetting_check k WHERE k.case_id = c.id AND k.agent = CAST(sqlc.arg(agent) AS TEXT)))
 ORDER BY c.number LIMIT sqlc.arg(lim);

-- name: CountVettingCases :many
SELECT state, count(*) AS n FROM vetting_case GROUP BY state;

-- name: ProcessVettingCase :execrows
UPDATE vetting_case SET state = 'processed', processed_at = CAST(sqlc.arg(now) AS BIGINT), processed_by = sqlc.arg(agent)
 WHERE id = sqlc.arg(id) AND state = 'queued';

-- name: EndVettingCase :execrows
UPDATE vetting_case SET state = sqlc.arg(to_state), ended_at = CAST(sqlc.arg(now) AS BIGINT), ended_by = sqlc.arg(agent), reason = sqlc.arg(reason)
 WHERE id = sqlc.arg(id) AND state = sqlc.arg(from_state) AND ended_at IS NULL;

-- name: InsertVettingCheck :exec
INSERT INTO vetting_check (id, case_id, kind, source, independent, method, contact, evidence_id, note, agent, agent_name, at)
VALUES (sqlc.arg(id), sqlc.arg(case_id), sqlc.arg(kind), sqlc.arg(source), sqlc.arg(independent), sqlc.arg(method),
        sqlc.arg(contact), sqlc.arg(evidence_id), sqlc.arg(note), sqlc.arg(agent), sqlc.arg(agent_name), sqlc.arg(at));

-- name: VettingChecks :many
SELECT id, case_id, kind, source, independent, method, contact, evidence_id, note, agent, agent_name, at, struck_at, struck_by
  FROM vetting_check WHERE case_id = sqlc.arg(case_id) ORDER BY id;

-- name: StrikeVettingCheck :execrows
UPDATE vetting_check SET struck_at = CAST(sqlc.arg(now) AS BIGINT), struck_by = sqlc.arg(agent)
 WHERE case_id = sqlc.arg(case_id) AND id = sqlc.arg(id) AND struck_at IS NULL;

-- name: InsertVettingEvidence :exec
INSERT INTO vetting_evidence (id, case_id, name, media_type, size, sha256, content, agent, agent_name, at)
VALUES (sqlc.arg(id), sqlc.arg(case_id), sqlc.arg(name), sqlc.arg(media_type), sqlc.arg(size), sqlc.arg(sha256),
        sqlc.arg(content), sqlc.arg(agent), sqlc.arg(agent_name), sqlc.arg(at));

-- name: VettingEvidence :many
SELECT id, case_id, name, media_type, size, sha256, agent, agent_name, at
  FROM vetting_evidence WHERE case_id = sqlc.arg(case_id) ORDER BY id;

-- name: VettingEvidenceContent :one
SELECT id, case_id, name, media_type, size, sha256, content, agent, agent_name, at
  FROM vetting_evidence WHERE case_id = sqlc.arg(case_id) AND id = sqlc.arg(id);
