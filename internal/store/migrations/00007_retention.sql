-- 00007: what the audit log no longer holds.
--
-- Adds a table of its own, which release N-1 neither reads nor writes: it runs unchanged
-- on this schema. Locks nothing and cannot fail on data. To go back: run release N-1;
-- there is nothing to undo.

-- +goose Up

-- Events of before the horizon may be missing: retention took them. The event says so
-- itself, in the log, and proves it.
CREATE TABLE audit_horizon (
    id       BIGINT NOT NULL PRIMARY KEY,
    before   BIGINT NOT NULL,
    event_id BYTEA  NOT NULL,
    looked   BYTEA  NOT NULL, -- the last event that a purge looked at: what is before it stays
    CONSTRAINT audit_horizon_is_one CHECK (id = 1)
);

-- +goose Down
