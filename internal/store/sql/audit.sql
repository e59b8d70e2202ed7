-- name: AuditHead :many
SELECT size, root, checkpoint, at FROM audit_tree WHERE id = 1;

-- name: MoveAuditHead :execrows
INSERT INTO audit_tree (id, size, root, checkpoint, at)
VALUES (1, sqlc.arg(size), sqlc.arg(root), sqlc.arg(checkpoint), sqlc.arg(at))
ON CONFLICT (id) DO UPDATE
   SET size = excluded.size, root = excluded.root, checkpoint = excluded.checkpoint, at = excluded.at
 WHERE audit_tree.size = sqlc.arg(old_size);

-- name: InsertSegment :exec
INSERT INTO audit_segment (first_seq, events, first_id, last_id, ids, leaves)
VALUES (sqlc.arg(first_seq), sqlc.arg(events), sqlc.arg(first_id), sqlc.arg(last_id), sqlc.arg(ids), sqlc.arg(leaves));

-- name: LeaseHolder :many
SELECT holder FROM lease WHERE name = sqlc.arg(name) AND expires_at >= sqlc.arg(now);

-- name: LastSequenced :many
SELECT last_id FROM audit_segment ORDER BY last_id DESC LIMIT 1;

-- name: SegmentIDs :many
SELECT first_seq, ids FROM audit_segment
 WHERE last_id >= sqlc.arg(first) AND first_id <= sqlc.arg(last) ORDER BY last_id;

-- name: SegmentsOf :many
SELECT first_seq, ids FROM audit_segment
 WHERE last_id >= sqlc.arg(id) AND last_id <= sqlc.arg(last) AND first_id <= sqlc.arg(id) ORDER BY last_id;

-- name: SegmentsFrom :many
SELECT first_seq, events, first_id, last_id, ids, leaves FROM audit_segment
 WHERE first_seq >= sqlc.arg(first_seq) ORDER BY first_seq LIMIT sqlc.arg(lim);

-- name: SegmentAt :many
SELECT first_seq FROM audit_segment WHERE first_seq <= sqlc.arg(seq) ORDER BY first_seq DESC LIMIT 1;

-- name: Tile :many
SELECT data FROM audit_tile WHERE level = sqlc.arg(level) AND n = sqlc.arg(n);

-- name: TilesFrom :many
SELECT n, data FROM audit_tile
 WHERE level = sqlc.arg(level) AND n >= sqlc.arg(first) ORDER BY n LIMIT sqlc.arg(lim);

-- name: CountEvents :one
SELECT count(*) FROM audit_event WHERE id >= sqlc.arg(first) AND id <= sqlc.arg(last);

-- name: EventIDs :many
SELECT id FROM audit_event WHERE id >= sqlc.arg(first) AND id <= sqlc.arg(last) ORDER BY id;

-- name: Event :many
SELECT id, at, account_id, payload FROM audit_event WHERE id = sqlc.arg(id);

-- name: CountEventsAfter :one
SELECT count(*) FROM (SELECT e.id FROM audit_event AS e WHERE e.id > sqlc.arg(id) ORDER BY e.id LIMIT sqlc.arg(lim)) AS recent;

-- name: FirstEventAfter :many
SELECT id FROM audit_event WHERE id > sqlc.arg(id) ORDER BY id LIMIT 1;

-- name: SetAuditHorizon :exec
INSERT INTO audit_horizon (id, before, event_id, looked) VALUES (1, sqlc.arg(before), sqlc.arg(event_id), sqlc.arg(looked))
ON CONFLICT (id) DO UPDATE SET before = excluded.before, event_id = excluded.event_id, looked = excluded.looked;

-- name: AuditHorizon :many
SELECT before, event_id, looked FROM audit_horizon WHERE id = 1;

-- name: EventsAfter :many
SELECT id, at, account_id, payload FROM audit_event
 WHERE id > sqlc.arg(id) AND id < sqlc.arg(before) ORDER BY id LIMIT sqlc.arg(lim);

-- name: EventsBefore :many
SELECT id, at, account_id, payload FROM audit_event
 WHERE id < sqlc.arg(id) AND id > sqlc.arg(after) ORDER BY id DESC LIMIT sqlc.arg(lim);

-- name: AccountEventsAfter :many
SELECT id, at, account_id, payload FROM audit_event
 WHERE account_id = sqlc.arg(account_id) AND id > sqlc.arg(id) AND id < sqlc.arg(before) ORDER BY id LIMIT sqlc.arg(lim);

-- name: AccountEventsBefore :many
SELECT id, at, account_id, payload FROM audit_event
 WHERE account_id = sqlc.arg(account_id) AND id < sqlc.arg(id) AND id > sqlc.arg(after) ORDER BY id DESC LIMIT sqlc.arg(lim);
