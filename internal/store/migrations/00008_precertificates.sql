-- 00008: precertificates of Certificate Transparency.
--
-- Adds a table of its own, which release N-1 neither reads nor writes: it runs
-- unchanged on this schema, but does not tell the status of a precertificate that
-- became no certificate, nor abandon it; so let no replica of it run where ct.series is
-- set. Locks nothing that exists. Cannot fail on data. To go back: run release N-1;
-- there is nothing to undo.

-- +goose Up

-- A precertificate counts as an issued certificate (RFC 6962, Section 3.1; BR 4.9.9), so
-- it is here before any log sees it. It is pending until its certificate is written, in
-- the same transaction, or until it is abandoned and revoked: its revocation is in
-- ca_revocation.
CREATE TABLE precertificate (
    serial        BYTEA  NOT NULL PRIMARY KEY,
    pair_id       BIGINT NOT NULL CONSTRAINT precertificate_has_its_pair REFERENCES pair (id),
    credential_id TEXT   NOT NULL,
    issuer_id     TEXT   NOT NULL CONSTRAINT precertificate_has_its_issuer REFERENCES issuer (id),
    crl_shard     BIGINT NOT NULL,
    spki_hash     BYTEA  NOT NULL,
    not_after     BIGINT NOT NULL,
    der           BYTEA  NOT NULL,
    status        TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    CONSTRAINT precertificate_serial_has_16_octets CHECK (length(serial) = 16),
    CONSTRAINT precertificate_status_is_known CHECK (status IN ('pending', 'issued', 'abandoned'))
);
CREATE INDEX precertificate_pending ON precertificate (created_at, serial) WHERE status = 'pending';
CREATE INDEX precertificate_by_expiry ON precertificate (not_after, serial);
CREATE INDEX precertificate_by_issuer ON precertificate (issuer_id, not_after);

-- +goose Down
