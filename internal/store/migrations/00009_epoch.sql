-- 00009: epochs of a database that was restored.
--
-- Adds a table of its own, which release N-1 neither reads nor writes: it runs
-- unchanged on this schema. Locks nothing and cannot fail on data. To go back: run
-- release N-1; there is nothing to undo.

-- +goose Up

-- A row for each time that the database was put back from a backup: how far its audit
-- log went, and the newest checkpoint that had been exported of the log that is lost.
CREATE TABLE epoch (
    id              TEXT   NOT NULL PRIMARY KEY, -- of its audit event
    at              BIGINT NOT NULL,
    tree_size       BIGINT NOT NULL,
    tree_root       BYTEA  NOT NULL,
    lost_size       BIGINT NOT NULL, -- 0: nothing that was exported is lost
    lost_at         BIGINT NOT NULL,
    lost_checkpoint TEXT   NOT NULL, -- the signed note
    CONSTRAINT epoch_tree_is_not_negative CHECK (tree_size >= 0 AND lost_size >= 0)
);

-- +goose Down
