-- 00003: issuing CAs are planned ahead, exchanged by a schedule, and end.
--
-- Adds columns with defaults to issuer_series and issuer, and tables of its own. Release
-- N-1 neither reads nor writes them: what it adds is exchanged each quarter. It goes by
-- an issuer's status alone, so that with it a switch happens when a newer release has
-- recorded it. Locks issuer_series and issuer while columns are added: milliseconds.
-- Cannot fail on data. To go back: run release N-1; there is nothing to undo.

-- +goose Up

-- How often the issuing CA of a series is exchanged, how many days ahead its successor
-- is made, and the longest leaf in days (0: told by the services).
ALTER TABLE issuer_series ADD COLUMN rotation TEXT NOT NULL DEFAULT 'quarterly'
    CONSTRAINT issuer_series_rotation_is_known CHECK (rotation IN ('quarterly', 'yearly', 'manual'));
ALTER TABLE issuer_series ADD COLUMN lead_days BIGINT NOT NULL DEFAULT 45
    CONSTRAINT issuer_series_leads_by_days CHECK (lead_days BETWEEN 1 AND 400);
ALTER TABLE issuer_series ADD COLUMN leaf_days BIGINT NOT NULL DEFAULT 0
    CONSTRAINT issuer_series_leaf_is_not_negative CHECK (leaf_days >= 0);
UPDATE issuer_series SET rotation = 'yearly'
 WHERE hierarchy_id IN (SELECT id FROM hierarchy WHERE kind = 'client_auth');

-- Until when an issuing CA signs for tokens that are bound to it. Null: no end is
-- known, or, of a retired one, it signs nothing any more.
ALTER TABLE issuer ADD COLUMN sign_until BIGINT;

-- Issuing CAs that have a key and no certificate yet. The ID becomes that of the
-- issuer.
CREATE TABLE issuer_plan (
    id          TEXT   NOT NULL PRIMARY KEY,
    series_id   TEXT   NOT NULL CONSTRAINT issuer_plan_has_its_series REFERENCES issuer_series (id),
    parent_id   TEXT   NOT NULL CONSTRAINT issuer_plan_has_its_parent REFERENCES issuer (id),
    key_name    TEXT   NOT NULL,
    activate_at BIGINT NOT NULL,
    request     TEXT   NOT NULL, -- JSON: what is to be signed
    created_at  BIGINT NOT NULL,
    CONSTRAINT issuer_plan_key_is_unique UNIQUE (key_name),
    CONSTRAINT issuer_plan_instant_is_unique UNIQUE (series_id, activate_at)
);

-- Notices of a switch that were given, by the issuer or plan that starts: to the people
-- of each account, and to the operators (an empty account) at last.
CREATE TABLE issuer_notice (
    issuer_id   TEXT   NOT NULL,
    activate_at BIGINT NOT NULL,
    days        BIGINT NOT NULL,
    account_id  TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    CONSTRAINT issuer_notice_is_given_once UNIQUE (issuer_id, activate_at, days, account_id)
);

-- Certificates of roots by other CAs.
CREATE TABLE cross_certificate (
    id                 TEXT   NOT NULL PRIMARY KEY,
    issuer_id          TEXT   NOT NULL CONSTRAINT cross_certificate_has_its_issuer REFERENCES issuer (id),
    signer_id          TEXT   CONSTRAINT cross_certificate_has_its_signer REFERENCES issuer (id), -- null: a foreign CA
    certificate        BYTEA  NOT NULL,
    signer_certificate BYTEA  NOT NULL,
    active             BOOLEAN NOT NULL, -- trustchain goes this way
    created_at         BIGINT NOT NULL,
    CONSTRAINT cross_certificate_is_unique UNIQUE (certificate)
);
CREATE UNIQUE INDEX cross_certificate_one_active ON cross_certificate (issuer_id) WHERE active;

-- +goose Down
