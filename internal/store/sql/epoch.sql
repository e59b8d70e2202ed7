-- name: InsertEpoch :exec
INSERT INTO epoch (id, at, tree_size, tree_root, lost_size, lost_at, lost_checkpoint)
VALUES (sqlc.arg(id), sqlc.arg(at), sqlc.arg(tree_size), sqlc.arg(tree_root), sqlc.arg(lost_size), sqlc.arg(lost_at), sqlc.arg(lost_checkpoint));

-- name: Epochs :many
SELECT id, at, tree_size, tree_root, lost_size, lost_at, lost_checkpoint FROM epoch ORDER BY at, id;
