-- 00004: what CRLs are built from, and the CRLs.
--
-- Adds tables of its own and two partial indexes over revoked certificates, which
-- release N-1 keeps up without knowing them: it runs unchanged on this schema, but
-- does not mark shards, so that what it revokes waits for the next scheduled CRL.
-- Reads certificate and client_certificate once to make the indexes, and holds off
-- their writers meanwhile: about a second for each million certificates. Cannot fail
-- on data. To go back: run release N-1; there is nothing to undo.

-- +goose Up

-- The revoked certificates of a CRL shard, in the order of their serial numbers: a CRL
-- is built from the index alone.
CREATE INDEX certificate_by_shard ON certificate (issuer_id, crl_shard, serial, not_after, revoked_at, reason, compromised_at)
    WHERE revoked_at IS NOT NULL;
CREATE INDEX client_certificate_by_shard ON client_certificate (issuer_id, crl_shard, serial, not_after, revoked_at, reason)
    WHERE revoked_at IS NOT NULL;

-- Revoked certificates that are in neither table: those of CAs.
CREATE TABLE ca_revocation (
    issuer_id      TEXT   NOT NULL CONSTRAINT ca_revocation_has_its_issuer REFERENCES issuer (id),
    serial         BYTEA  NOT NULL,
    crl_shard      BIGINT NOT NULL,
    not_after      BIGINT NOT NULL,
    revoked_at     BIGINT NOT NULL,
    reason         TEXT   NOT NULL,
    compromised_at BIGINT,
    PRIMARY KEY (issuer_id, serial)
);

-- A CRL shard of an issuer: its newest CRL, and whether something was revoked since.
CREATE TABLE crl_shard (
    issuer_id   TEXT   NOT NULL CONSTRAINT crl_shard_has_its_issuer REFERENCES issuer (id),
    shard       BIGINT NOT NULL,
    revision    BIGINT NOT NULL, -- raised by each transaction that revokes
    revised_at  BIGINT NOT NULL, -- of the oldest revision that no CRL holds
    published   BIGINT NOT NULL, -- the revision that the newest CRL holds
    crl_id      TEXT,            -- the newest CRL
    number      BIGINT NOT NULL, -- its number; 0: there was none yet
    this_update BIGINT NOT NULL,
    next_update BIGINT NOT NULL,
    PRIMARY KEY (issuer_id, shard),
    CONSTRAINT crl_shard_holds_no_future CHECK (published <= revision)
);

-- A CRL. It is building until its shard names it, and dropped when newer ones have
-- taken its place.
CREATE TABLE crl (
    id          TEXT   NOT NULL PRIMARY KEY,
    issuer_id   TEXT   NOT NULL CONSTRAINT crl_has_its_issuer REFERENCES issuer (id),
    shard       BIGINT NOT NULL,
    number      BIGINT NOT NULL,
    state       TEXT   NOT NULL,
    this_update BIGINT NOT NULL,
    next_update BIGINT NOT NULL,
    entries     BIGINT NOT NULL,
    size        BIGINT NOT NULL, -- octets
    sha256      BYTEA  NOT NULL,
    created_at  BIGINT NOT NULL,
    CONSTRAINT crl_state_is_known CHECK (state IN ('building', 'published', 'dropped'))
);
CREATE INDEX crl_by_shard ON crl (issuer_id, shard, number);

-- The bytes of a CRL in parts, from 0.
CREATE TABLE crl_chunk (
    crl_id TEXT   NOT NULL,
    n      BIGINT NOT NULL,
    data   BYTEA  NOT NULL,
    PRIMARY KEY (crl_id, n)
);

-- When the last certificate of a retired issuer expires, counted once it signs no more.
CREATE TABLE issuer_end (
    issuer_id  TEXT   NOT NULL PRIMARY KEY CONSTRAINT issuer_end_has_its_issuer REFERENCES issuer (id),
    not_after  BIGINT NOT NULL, -- 0: it never signed any
    counted_at BIGINT NOT NULL
);

-- +goose Down
