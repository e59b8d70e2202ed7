-- name: InsertHierarchy :exec
INSERT INTO hierarchy (id, kind, name, created_at)
VALUES (sqlc.arg(id), sqlc.arg(kind), sqlc.arg(name), sqlc.arg(created_at));

-- name: InsertSeries :exec
INSERT INTO issuer_series (id, hierarchy_id, name, key_type, eku_family, created_at)
VALUES (sqlc.arg(id), sqlc.arg(hierarchy_id), sqlc.arg(name), sqlc.arg(key_type), sqlc.arg(eku_family), sqlc.arg(created_at));

-- name: InsertIssuer :exec
INSERT INTO issuer (id, hierarchy_id, series_id, parent_id, role, status, key_name, certificate, crl_shards, activate_at, retire_at, created_at)
VALUES (sqlc.arg(id), sqlc.arg(hierarchy_id), sqlc.narg(series_id), sqlc.narg(parent_id), sqlc.arg(role), sqlc.arg(status),
        sqlc.arg(key_name), sqlc.arg(certificate), sqlc.arg(crl_shards), sqlc.arg(activate_at), sqlc.narg(retire_at), sqlc.arg(created_at));

-- name: Hierarchies :many
SELECT id, kind, name, created_at FROM hierarchy ORDER BY id;

-- name: AllSeries :many
SELECT id, hierarchy_id, name, key_type, eku_family, created_at FROM issuer_series ORDER BY id;

-- name: Issuers :many
SELECT id, hierarchy_id, series_id, parent_id, role, status, key_name, certificate, crl_shards, activate_at, retire_at, created_at
  FROM issuer ORDER BY id;
