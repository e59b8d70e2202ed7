-- 00010: users that authenticate: API tokens, client certificates of users, managed keys.
--
-- Adds columns with defaults to account, account_user and client_certificate, and tables
-- of its own. Release N-1 neither reads nor writes them: its users are people without an
-- end, and a client certificate that belongs to a user is linked to none of its
-- credentials, so that no login of its accepts it. It sees a service user as a user
-- whose address is its ID. A CRL that it signs lacks the certificates of key pairs that
-- were revoked: none is to be while it runs. Locks the three tables while columns are added: milliseconds.
-- Cannot fail on data. To go back: run release N-1; there is nothing to undo.

-- +goose Up

-- The service period. Null: no bound.
ALTER TABLE account ADD COLUMN starts_at BIGINT;
ALTER TABLE account ADD COLUMN ends_at BIGINT;

-- A service user signs in nowhere: its email, which must be unique, is its ID, and
-- contact is the address of the person responsible. name_key is its name in lower case.
ALTER TABLE account_user ADD COLUMN kind TEXT NOT NULL DEFAULT 'standard'
    CONSTRAINT account_user_kind_is_known CHECK (kind IN ('standard', 'service'));
ALTER TABLE account_user ADD COLUMN name_key TEXT NOT NULL DEFAULT '';
ALTER TABLE account_user ADD COLUMN contact TEXT NOT NULL DEFAULT '';
ALTER TABLE account_user ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE account_user ADD COLUMN locale TEXT NOT NULL DEFAULT 'en_US';
ALTER TABLE account_user ADD COLUMN ends_at BIGINT; -- the last instant; null: none
ALTER TABLE account_user ADD COLUMN locked_at BIGINT; -- null: not locked
ALTER TABLE account_user ADD COLUMN created_by TEXT NOT NULL DEFAULT ''; -- a user's ID, '' for operators
CREATE UNIQUE INDEX account_user_friendly_name_is_unique ON account_user (account_id, name_key)
    WHERE kind = 'service' AND state <> 'deleted';

CREATE TABLE api_token (
    id             TEXT   NOT NULL PRIMARY KEY,
    account_id     TEXT   NOT NULL CONSTRAINT api_token_has_its_account REFERENCES account (id),
    user_id        TEXT   NOT NULL CONSTRAINT api_token_has_its_user REFERENCES account_user (id),
    name           TEXT   NOT NULL,
    name_key       TEXT   NOT NULL, -- in lower case
    lookup         TEXT   NOT NULL, -- the token's left part, which is no secret
    secret_mac     BYTEA  NOT NULL, -- of its right part
    pepper_version BIGINT NOT NULL,
    state          TEXT   NOT NULL,
    ends_at        BIGINT, -- the last instant; null: none
    created_at     BIGINT NOT NULL,
    CONSTRAINT api_token_lookup_is_unique UNIQUE (lookup),
    CONSTRAINT api_token_state_is_known CHECK (state IN ('active', 'disabled', 'deleted'))
);
CREATE INDEX api_token_by_user ON api_token (user_id, id);
CREATE UNIQUE INDEX api_token_name_is_unique ON api_token (user_id, name_key) WHERE state <> 'deleted';

-- A client certificate belongs to credentials, by its links, or to one user. That of a
-- user which is deleted is revoked too.
ALTER TABLE client_certificate ADD COLUMN user_id TEXT
    CONSTRAINT client_certificate_has_its_user REFERENCES account_user (id);
ALTER TABLE client_certificate ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE client_certificate ADD COLUMN name_key TEXT NOT NULL DEFAULT ''; -- in lower case
ALTER TABLE client_certificate ADD COLUMN not_before BIGINT; -- null: of release N-1, see der
ALTER TABLE client_certificate ADD COLUMN first_used_at BIGINT; -- null: never
ALTER TABLE client_certificate ADD COLUMN deleted_at BIGINT; -- null: it is listed
CREATE INDEX client_certificate_by_user ON client_certificate (user_id, id) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX client_certificate_name_is_unique ON client_certificate (user_id, name_key)
    WHERE user_id IS NOT NULL AND deleted_at IS NULL;

-- PKCS #12 files of keys that were made here, each until it is fetched once, for ten
-- minutes at most. Only the value in its download link, which is kept nowhere, opens it.
CREATE TABLE pkcs12_download (
    client_certificate_id TEXT   NOT NULL PRIMARY KEY
        CONSTRAINT pkcs12_download_has_its_certificate REFERENCES client_certificate (id),
    token_hash            BYTEA  NOT NULL,
    sealed                BYTEA  NOT NULL,
    expires_at            BIGINT NOT NULL
);
CREATE INDEX pkcs12_download_by_expiry ON pkcs12_download (expires_at);

-- Key pairs of accounts that sign hashes; their private halves are in the keystore, and
-- are destroyed when the key pair is deleted or its certificate revoked.
CREATE TABLE key_pair (
    id          TEXT   NOT NULL PRIMARY KEY,
    account_id  TEXT   NOT NULL CONSTRAINT key_pair_has_its_account REFERENCES account (id),
    name        TEXT   NOT NULL,
    name_key    TEXT   NOT NULL, -- in lower case
    key_type    TEXT   NOT NULL, -- of package tbs, such as 'EC-P256'
    key_name    TEXT   NOT NULL, -- in the keystore
    spki        BYTEA  NOT NULL,
    certificate BYTEA, -- DER; null, as the next four: none
    serial      BYTEA,
    issuer_id   TEXT   CONSTRAINT key_pair_has_its_issuer REFERENCES issuer (id),
    crl_shard   BIGINT,
    not_after   BIGINT,
    revoked_at  BIGINT, -- of the certificate; null: it is not
    reason      TEXT,   -- RFC 5280's name
    state       TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    CONSTRAINT key_pair_key_is_unique UNIQUE (key_name),
    CONSTRAINT key_pair_serial_is_unique UNIQUE (serial),
    CONSTRAINT key_pair_state_is_known CHECK (state IN ('active', 'disabled', 'revoked', 'deleted'))
);
CREATE INDEX key_pair_by_account ON key_pair (account_id, id);
CREATE INDEX key_pair_revoked ON key_pair (issuer_id, crl_shard, serial) WHERE revoked_at IS NOT NULL;
CREATE UNIQUE INDEX key_pair_name_is_unique ON key_pair (account_id, name_key) WHERE state IN ('active', 'disabled');

-- What an account sees of the audit log: a row for each event about its users and what
-- they authenticate by, written with the event, of the same ID and time, and purged with
-- it. An account's rows lie together in the order in which they are shown.
CREATE TABLE activity (
    account_id    TEXT    NOT NULL,
    at            BIGINT  NOT NULL,
    id            BYTEA   NOT NULL, -- of the audit event
    user_id       TEXT    NOT NULL, -- '' for operators and strangers
    user_name     TEXT    NOT NULL, -- as it was then
    name_key      TEXT    NOT NULL, -- in lower case
    action        TEXT    NOT NULL,
    resource_type TEXT    NOT NULL,
    resource_id   TEXT    NOT NULL, -- a UUID, or what was shown in its place
    failed        BOOLEAN NOT NULL,
    description   TEXT    NOT NULL,
    address       TEXT    NOT NULL,
    PRIMARY KEY (account_id, at, id)
) /*sqlite WITHOUT ROWID sqlite*/;
CREATE INDEX activity_by_resource ON activity (account_id, resource_id, at, id);
CREATE INDEX activity_by_action ON activity (account_id, action, at, id);
CREATE INDEX activity_failures ON activity (account_id, at, id, failed) WHERE failed;

-- +goose Down
