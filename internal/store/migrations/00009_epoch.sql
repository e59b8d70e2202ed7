-- 00009: epochs of a database that was restored.
--
-- Adds a table of its own, which release N-1 neither reads nor writes, and an index
-- over the revocations that stand in no other table: it runs unchanged on this schema.
-- Reads those revocations once, of which there are a few: milliseconds. Cannot fail on
-- data. To go back: run release N-1; there is nothing to undo.

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

-- Beside CAs' certificates, ca_revocation holds those that a published CRL named and a
-- restored database did not know: OCSP finds them by their serial numbers alone.
CREATE INDEX ca_revocation_by_serial ON ca_revocation (serial);

-- +goose Down
