-- 00002: domain claims, verifications, durable jobs and the outbox of mails.
--
-- Adds tables of its own and one column with a default, which release N-1 neither
-- reads nor writes: it runs unchanged on this schema. Locks service while the column
-- is added, which rewrites nothing: milliseconds. Cannot fail on data. To go back: run
-- release N-1; there is nothing to undo.

-- +goose Up

-- Private services may keep a token when a claim is reasserted.
ALTER TABLE service ADD COLUMN sticky_tokens BOOLEAN NOT NULL DEFAULT FALSE;

-- An identity's claim to a domain or an IP address. A claim whose verification has
-- expired stays verified until somebody looks or a job comes by.
CREATE TABLE claim (
    id              TEXT    NOT NULL PRIMARY KEY,
    account_id      TEXT    NOT NULL CONSTRAINT claim_has_its_account REFERENCES account (id),
    identity_id     TEXT    NOT NULL CONSTRAINT claim_has_its_identity REFERENCES identity (id),
    kind            TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    labels          BIGINT  NOT NULL, -- of a domain
    lookup          BYTEA   NOT NULL, -- the labels of a domain, the top-level one first
    token           TEXT    NOT NULL,
    token_at        BIGINT  NOT NULL,
    assert_by       BIGINT  NOT NULL,
    round           BIGINT  NOT NULL,
    token_open      BOOLEAN NOT NULL,
    status          TEXT    NOT NULL,
    verification_id TEXT,
    verified_at     BIGINT,
    method          TEXT,
    adn             TEXT,
    coverage        TEXT,
    expires_at      BIGINT,
    check_id        TEXT,   -- of the check that runs
    check_until     BIGINT, -- when another one may begin all the same
    created_at      BIGINT  NOT NULL,
    CONSTRAINT claim_is_unique UNIQUE (identity_id, kind, name),
    CONSTRAINT claim_kind_is_known CHECK (kind IN ('domain', 'ip')),
    CONSTRAINT claim_status_is_known CHECK (status IN ('pending', 'verified')),
    CONSTRAINT claim_is_verified_by_something CHECK (status = 'pending' OR verification_id IS NOT NULL AND expires_at IS NOT NULL)
);
CREATE INDEX claim_by_creation ON claim (identity_id, kind, created_at, id);
CREATE INDEX claim_by_status ON claim (identity_id, kind, status, created_at, id);
CREATE INDEX claim_by_lookup ON claim (identity_id, kind, labels, lookup, name, created_at, status, id);
CREATE INDEX claim_by_expiry ON claim (identity_id, expires_at) WHERE status = 'verified';

-- How many claims of an identity were created in each 30 days, each hour and each
-- second, all of them and those that are verified, by which totals and page starts are
-- found.
CREATE TABLE claim_count (
    identity_id TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    part        TEXT   NOT NULL,
    unit        BIGINT NOT NULL, -- seconds
    start       BIGINT NOT NULL, -- Unix time, in units
    n           BIGINT NOT NULL,
    PRIMARY KEY (identity_id, kind, part, unit, start),
    CONSTRAINT claim_count_part_is_known CHECK (part IN ('all', 'verified')),
    CONSTRAINT claim_count_unit_is_known CHECK (unit IN (2592000, 3600, 1)),
    CONSTRAINT claim_count_is_not_negative CHECK (n >= 0)
) /*sqlite WITHOUT ROWID sqlite*/;

-- What was tried for a claim.
CREATE TABLE claim_log (
    claim_id    TEXT   NOT NULL,
    id          BYTEA  NOT NULL, -- sorts by time
    at          BIGINT NOT NULL,
    status      TEXT   NOT NULL,
    method      TEXT   NOT NULL,
    description TEXT   NOT NULL,
    evidence    TEXT   NOT NULL, -- JSON
    PRIMARY KEY (claim_id, id),
    CONSTRAINT claim_log_status_is_known CHECK (status IN ('SUCCESS', 'ERROR', 'INFO'))
) /*sqlite WITHOUT ROWID sqlite*/;

-- Every successful validation. Rows outlive their claims and never change but for
-- ended_at.
CREATE TABLE verification (
    id          TEXT   NOT NULL PRIMARY KEY,
    claim_id    TEXT   NOT NULL,
    account_id  TEXT   NOT NULL,
    identity_id TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    adn         TEXT   NOT NULL,
    method      TEXT   NOT NULL,
    coverage    TEXT   NOT NULL,
    at          BIGINT NOT NULL,
    token_at    BIGINT NOT NULL,
    evidence    TEXT   NOT NULL, -- JSON
    ended_at    BIGINT,          -- when its claim was deleted
    CONSTRAINT verification_coverage_is_known CHECK (coverage IN ('tree', 'exact'))
);
CREATE INDEX verification_by_claim ON verification (claim_id, id);

-- How the names of a certificate were validated: written with the certificate.
CREATE TABLE certificate_evidence (
    serial    BYTEA NOT NULL PRIMARY KEY,
    names     BYTEA NOT NULL, -- JSON
    CONSTRAINT certificate_evidence_serial_has_16_octets CHECK (length(serial) = 16)
) /*sqlite WITHOUT ROWID sqlite*/;

-- Mails that ask for approval of a claim. The value in a mail's link is made from the
-- nonce under a key that is not here.
CREATE TABLE mail_approval (
    id          TEXT   NOT NULL PRIMARY KEY,
    claim_id    TEXT   NOT NULL,
    account_id  TEXT   NOT NULL,
    identity_id TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    round       BIGINT NOT NULL,
    address     TEXT   NOT NULL,
    adn         TEXT   NOT NULL,
    method      TEXT   NOT NULL,
    through     TEXT   NOT NULL, -- JSON
    nonce       BYTEA  NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT
);
CREATE INDEX mail_approval_by_address ON mail_approval (account_id, address, created_at);

-- Work that must be done by one process at a time, and again if that one dies. A key
-- is unique for its kind: a new job of the key takes the place of the old one.
CREATE TABLE job (
    id          TEXT   NOT NULL PRIMARY KEY,
    kind        TEXT   NOT NULL,
    key         TEXT   NOT NULL,
    args        TEXT   NOT NULL, -- JSON
    run_at      BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    holder      TEXT   NOT NULL, -- empty: nobody
    lease_until BIGINT NOT NULL,
    last_error  TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    CONSTRAINT job_key_is_unique UNIQUE (kind, key)
);
CREATE INDEX job_by_time ON job (kind, run_at, id);

-- The outbox: a mail is written in the transaction of what it tells of, and sent by a
-- job.
CREATE TABLE mail (
    id         TEXT   NOT NULL PRIMARY KEY,
    account_id TEXT   NOT NULL,
    recipient  TEXT   NOT NULL,
    template   TEXT   NOT NULL,
    params     TEXT   NOT NULL, -- JSON, without secrets
    state      TEXT   NOT NULL,
    last_error TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at   BIGINT,
    CONSTRAINT mail_state_is_known CHECK (state IN ('queued', 'sent', 'failed'))
);
CREATE INDEX mail_by_account ON mail (account_id, id);

-- +goose Down
