-- 00006: compromised keys, bulk revocations, cases and proposals.
--
-- Adds tables of its own, which release N-1 neither reads nor writes: it runs
-- unchanged on this schema, but certifies blocked keys. Locks nothing that exists.
-- Cannot fail on data. To go back: run release N-1; there is nothing to undo.

-- +goose Up

-- Keys that are certified no more: for one account, or for nobody if the account is
-- empty.
CREATE TABLE blocked_key (
    spki_hash  BYTEA  NOT NULL, -- SHA-256 of the SubjectPublicKeyInfo
    account_id TEXT   NOT NULL,
    source     TEXT   NOT NULL,
    serial     BYTEA, -- of the certificate whose revocation blocked it
    created_at BIGINT NOT NULL,
    PRIMARY KEY (spki_hash, account_id),
    CONSTRAINT blocked_key_source_is_known CHECK (source IN ('attestation', 'staff', 'account')),
    CONSTRAINT blocked_key_is_the_accounts CHECK ((source = 'account') = (account_id <> ''))
) /*sqlite WITHOUT ROWID sqlite*/;

-- The revocation of all certificates that a filter selects: first counted, and revoked
-- only if somebody says so. The certificates are read in the order of their serial
-- numbers; the cursor, the counts and what was revoked change in one transaction.
CREATE TABLE bulk_revocation (
    id             TEXT   NOT NULL PRIMARY KEY,
    filter         TEXT   NOT NULL, -- JSON
    reason         TEXT   NOT NULL,
    compromised_at BIGINT,
    state          TEXT   NOT NULL,
    as_of          BIGINT NOT NULL, -- what was issued later is left alone
    cursor         BYTEA  NOT NULL, -- the last serial number that was read; empty at the start
    examined       BIGINT NOT NULL,
    matched        BIGINT NOT NULL, -- when it was counted
    revoked        BIGINT NOT NULL,
    sample         TEXT   NOT NULL, -- JSON: the first certificates that matched
    requested_by   TEXT   NOT NULL,
    created_at     BIGINT NOT NULL,
    started_at     BIGINT,
    finished_at    BIGINT,
    CONSTRAINT bulk_revocation_state_is_known CHECK (state IN ('counting', 'planned', 'revoking', 'done'))
);

-- Reports and findings by which certificates must be revoked within a time (BR 4.9.1).
CREATE TABLE revocation_case (
    id          TEXT   NOT NULL PRIMARY KEY,
    category    TEXT   NOT NULL, -- of the dated rules
    summary     TEXT   NOT NULL,
    reporter    TEXT   NOT NULL, -- who is told what came of it; empty: a finding of our own
    serials     TEXT   NOT NULL, -- JSON: the certificates that it is about
    state       TEXT   NOT NULL,
    reported_at BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    told_at     BIGINT, -- when the operators were told that it is overdue
    closed_at   BIGINT,
    closed_by   TEXT   NOT NULL,
    outcome     TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    CONSTRAINT revocation_case_state_is_known CHECK (state IN ('open', 'closed')),
    CONSTRAINT revocation_case_is_closed_at_a_time CHECK ((state = 'closed') = (closed_at IS NOT NULL))
);
CREATE INDEX revocation_case_open ON revocation_case (due_at, id) WHERE state = 'open';

-- Acts of operators that wait for the approval of another, or had it.
CREATE TABLE proposal (
    id           TEXT   NOT NULL PRIMARY KEY,
    action       TEXT   NOT NULL,
    summary      TEXT   NOT NULL,
    request      BYTEA  NOT NULL, -- JSON, exactly what is executed
    requested_by TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    decided_by   TEXT   NOT NULL,
    decided_at   BIGINT,
    outcome      TEXT   NOT NULL, -- "ok", or the code of the fault
    CONSTRAINT proposal_state_is_known CHECK (state IN ('pending', 'rejected', 'expired', 'begun', 'executed')),
    CONSTRAINT proposal_has_two_people CHECK (decided_by <> requested_by OR state IN ('pending', 'rejected', 'expired'))
);
CREATE INDEX proposal_pending ON proposal (expires_at, id) WHERE state = 'pending';

-- +goose Down
