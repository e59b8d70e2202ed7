-- 00014: the vetting of identities: their types, cases, checklists and evidence.
--
-- Adds columns with defaults to identity, an index over it, and tables of its own.
-- Release N-1 neither reads nor writes them: an identity that it makes has no type, and one
-- that it moves keeps its case open, and what was told of its former end, until release N
-- moves it again. It lets everybody with a role request certificates. Locks identity while
-- columns are added: milliseconds. Cannot fail on data. To go back: run release N-1; there
-- is nothing to undo.

-- +goose Up

ALTER TABLE identity ADD COLUMN kind TEXT NOT NULL DEFAULT ''; -- '': made by an operator
ALTER TABLE identity ADD COLUMN customer TEXT NOT NULL DEFAULT ''; -- JSON; '': the account's own
ALTER TABLE identity ADD COLUMN requesters TEXT NOT NULL DEFAULT ''; -- JSON array of users; '': everybody with a role
ALTER TABLE identity ADD COLUMN vetted_at BIGINT; -- null: never
ALTER TABLE identity ADD COLUMN told_days BIGINT NOT NULL DEFAULT 0; -- before its end, the last time; 0: not yet
CREATE INDEX identity_by_expiry ON identity (expires_at, id) WHERE state = 'active';

CREATE TABLE vetting_case (
    id           TEXT    NOT NULL PRIMARY KEY,
    number       BIGINT  NOT NULL,
    account_id   TEXT    NOT NULL CONSTRAINT vetting_case_has_its_account REFERENCES account (id),
    identity_id  TEXT    NOT NULL CONSTRAINT vetting_case_has_its_identity REFERENCES identity (id),
    state        TEXT    NOT NULL,
    again        BOOLEAN NOT NULL, -- the identity was vetted before
    opened_at    BIGINT  NOT NULL,
    opened_by    TEXT    NOT NULL,
    processed_at BIGINT, -- null: not yet
    processed_by TEXT    NOT NULL DEFAULT '',
    ended_at     BIGINT, -- null: it is open
    ended_by     TEXT    NOT NULL DEFAULT '',
    reason       TEXT    NOT NULL DEFAULT '',
    CONSTRAINT vetting_case_number_is_unique UNIQUE (number),
    CONSTRAINT vetting_case_state_is_known CHECK (state IN ('queued', 'processed', 'approved', 'rejected', 'closed'))
);
CREATE UNIQUE INDEX vetting_case_one_is_open ON vetting_case (identity_id) WHERE ended_at IS NULL;
CREATE INDEX vetting_case_by_identity ON vetting_case (identity_id, number);
CREATE INDEX vetting_case_by_state ON vetting_case (state, number);

-- What agents keep of what they saw.
CREATE TABLE vetting_evidence (
    id         TEXT   NOT NULL PRIMARY KEY,
    case_id    TEXT   NOT NULL CONSTRAINT vetting_evidence_has_its_case REFERENCES vetting_case (id),
    name       TEXT   NOT NULL, -- of the file
    media_type TEXT   NOT NULL,
    size       BIGINT NOT NULL,
    sha256     BYTEA  NOT NULL,
    content    BYTEA  NOT NULL,
    agent      TEXT   NOT NULL,
    agent_name TEXT   NOT NULL,
    at         BIGINT NOT NULL
);
CREATE INDEX vetting_evidence_by_case ON vetting_evidence (case_id, id);

-- The checklist of a case. A row is never changed but to strike it.
CREATE TABLE vetting_check (
    id          TEXT    NOT NULL PRIMARY KEY,
    case_id     TEXT    NOT NULL CONSTRAINT vetting_check_has_its_case REFERENCES vetting_case (id),
    kind        TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    independent BOOLEAN NOT NULL, -- false: it came from the applicant
    method      TEXT    NOT NULL,
    contact     TEXT    NOT NULL,
    evidence_id TEXT    NOT NULL, -- '': none
    note        TEXT    NOT NULL,
    agent       TEXT    NOT NULL,
    agent_name  TEXT    NOT NULL,
    at          BIGINT  NOT NULL,
    struck_at   BIGINT, -- null: it stands
    struck_by   TEXT    NOT NULL DEFAULT '',
    CONSTRAINT vetting_check_kind_is_known CHECK (kind IN ('existence', 'address', 'contact'))
);
CREATE INDEX vetting_check_by_case ON vetting_check (case_id, id);
