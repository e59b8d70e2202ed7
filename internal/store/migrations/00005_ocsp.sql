-- 00005: OCSP responders.
--
-- Adds a table of its own, which release N-1 neither reads nor writes: it runs
-- unchanged on this schema. Locks nothing that exists. Cannot fail on data. To go
-- back: run release N-1; there is nothing to undo.

-- +goose Up

-- The certificates of OCSP responders, each of a key of its own. Rows are kept, so
-- that every serial number that an issuing CA gave is known.
CREATE TABLE ocsp_responder (
    key_name    TEXT   NOT NULL PRIMARY KEY, -- in the keystore of the process that made it
    issuer_id   TEXT   NOT NULL CONSTRAINT ocsp_responder_has_its_issuer REFERENCES issuer (id),
    serial      BYTEA  NOT NULL,
    certificate BYTEA  NOT NULL,
    not_before  BIGINT NOT NULL,
    not_after   BIGINT NOT NULL,
    status      TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    retired_at  BIGINT,
    CONSTRAINT ocsp_responder_serial_is_unique UNIQUE (serial),
    CONSTRAINT ocsp_responder_status_is_known CHECK (status IN ('active', 'retired', 'destroyed')),
    CONSTRAINT ocsp_responder_is_retired_at_a_time CHECK ((status = 'active') = (retired_at IS NULL))
);

-- +goose Down
