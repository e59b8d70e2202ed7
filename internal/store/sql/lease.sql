-- name: TakeLease :execrows
INSERT INTO lease (name, holder, expires_at)
VALUES (sqlc.arg(name), sqlc.arg(holder), sqlc.arg(expires_at))
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
WHERE lease.expires_at < sqlc.arg(now) OR lease.holder = excluded.holder;

-- name: DropLease :execrows
DELETE FROM lease WHERE name = sqlc.arg(name) AND holder = sqlc.arg(holder);

-- name: InsertMarker :exec
INSERT INTO commit_marker (id, voided) VALUES (sqlc.arg(id), sqlc.arg(voided));

-- name: Marker :many
SELECT voided FROM commit_marker WHERE id = sqlc.arg(id);

-- name: DropMarkers :execrows
DELETE FROM commit_marker WHERE id IN
    (SELECT m.id FROM commit_marker AS m WHERE m.id < sqlc.arg(before) ORDER BY m.id LIMIT sqlc.arg(lim));

-- name: InsertChange :exec
INSERT INTO change (id, at, kind, object)
VALUES (sqlc.arg(id), sqlc.arg(at), sqlc.arg(kind), sqlc.arg(object));

-- name: ChangesSince :many
SELECT id, at, kind, object FROM change WHERE at >= sqlc.arg(since) ORDER BY at, id;

-- name: DropChanges :execrows
DELETE FROM change WHERE id IN
    (SELECT c.id FROM change AS c WHERE c.at < sqlc.arg(before) ORDER BY c.at LIMIT sqlc.arg(lim));
