-- 00016: when client certificates of users were used last.
--
-- Adds a table of its own, which release N-1 neither reads nor writes: what is used there
-- is not noted. Locks nothing. Cannot fail on data. To go back: run release N-1; there is
-- nothing to undo.

-- +goose Up

-- It lags behind by a minute or so. A certificate without a row was never used, or not
-- since this is noted.
CREATE TABLE client_certificate_use (
    client_certificate_id TEXT   NOT NULL PRIMARY KEY
        CONSTRAINT client_certificate_use_has_its_certificate REFERENCES client_certificate (id) ON DELETE CASCADE,
    used_at               BIGINT NOT NULL
);

-- +goose Down
