-- 00011: people sign in: registrations, mailed links, sessions, second factors, invitations.
--
-- Adds tables of its own, which release N-1 neither reads nor writes: nobody signs in
-- there. Locks nothing. Cannot fail on data. To go back: run release N-1; there is
-- nothing to undo.

-- +goose Up

-- Who asked for an account and has not yet opened the mailed link. There may be several
-- of one address: each link is good for the password of its own registration alone.
CREATE TABLE registration (
    id            TEXT   NOT NULL PRIMARY KEY,
    email         TEXT   NOT NULL, -- in lower case
    locale        TEXT   NOT NULL,
    password_hash TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    verified_at   BIGINT -- null: not yet
);
CREATE INDEX registration_by_email ON registration (email, id);
CREATE INDEX registration_by_expiry ON registration (expires_at);

-- Links in mails, each for one use. The value in a link is made from its nonce under a
-- key of the keystore and kept nowhere. A link that was asked for in vain, for an address
-- that nobody has, has no subject: asking takes as long.
CREATE TABLE mailed_link (
    id         TEXT   NOT NULL PRIMARY KEY,
    purpose    TEXT   NOT NULL,
    email      TEXT   NOT NULL,
    subject    TEXT   NOT NULL, -- the registration, user or invitation; '' for nobody
    nonce      BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT, -- null: not yet
    CONSTRAINT mailed_link_purpose_is_known CHECK (purpose IN ('verify', 'known', 'reset', 'invite'))
);
CREATE INDEX mailed_link_by_email ON mailed_link (email, created_at);
CREATE INDEX mailed_link_by_subject ON mailed_link (subject, id);
CREATE INDEX mailed_link_by_expiry ON mailed_link (expires_at);

-- Failed attempts in a row, by the SHA-256 of the address, whether or not somebody has it.
CREATE TABLE sign_in_attempt (
    email_hash BYTEA  NOT NULL PRIMARY KEY,
    failures   BIGINT NOT NULL,
    last_at    BIGINT NOT NULL
);
CREATE INDEX sign_in_attempt_by_age ON sign_in_attempt (last_at);

-- What a person has beyond account_user. Without a row: nothing to complete, no factor.
CREATE TABLE person (
    user_id      TEXT   NOT NULL PRIMARY KEY CONSTRAINT person_is_a_user REFERENCES account_user (id),
    stage        TEXT   NOT NULL,
    job_title    TEXT   NOT NULL DEFAULT '',
    phone        TEXT   NOT NULL DEFAULT '',
    signed_in_at BIGINT, -- the last time; null: never
    locked_out   BOOLEAN NOT NULL DEFAULT FALSE, -- account_user.locked_at is because of failed attempts
    totp_sealed  BYTEA,  -- the secret of one-time passwords; null: none
    totp_active  BOOLEAN NOT NULL DEFAULT FALSE, -- a first code was shown
    totp_step    BIGINT NOT NULL DEFAULT 0, -- that of the last code which was accepted
    CONSTRAINT person_stage_is_known CHECK (stage IN ('verified', 'profile_incomplete', 'agreement_pending', 'active'))
);

-- MACs of recovery codes; a code that was used has no row any more.
CREATE TABLE recovery_code (
    user_id TEXT  NOT NULL CONSTRAINT recovery_code_has_its_user REFERENCES account_user (id),
    mac     BYTEA NOT NULL,
    PRIMARY KEY (user_id, mac)
);

CREATE TABLE passkey (
    id            TEXT   NOT NULL PRIMARY KEY,
    user_id       TEXT   NOT NULL CONSTRAINT passkey_has_its_user REFERENCES account_user (id),
    name          TEXT   NOT NULL,
    credential_id BYTEA  NOT NULL,
    credential    BYTEA  NOT NULL, -- JSON: public key, counter, transports
    created_at    BIGINT NOT NULL,
    last_used_at  BIGINT, -- null: never
    CONSTRAINT passkey_is_unique UNIQUE (credential_id)
);
CREATE INDEX passkey_by_user ON passkey (user_id, id);

CREATE TABLE session (
    id         TEXT   NOT NULL PRIMARY KEY,
    value_hash BYTEA  NOT NULL, -- SHA-256 of the cookie's value
    user_id    TEXT   NOT NULL CONSTRAINT session_has_its_user REFERENCES account_user (id),
    account_id TEXT   NOT NULL,
    bound_to   BYTEA  NOT NULL, -- hash of the password's hash and the roles: when they change, it ends
    method     TEXT   NOT NULL, -- how it began
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    ends_at    BIGINT NOT NULL,
    factor_at  BIGINT, -- when a second factor was shown last; null: never
    address    TEXT   NOT NULL,
    agent      TEXT   NOT NULL, -- what the browser says that it is
    ceremony   BYTEA, -- JSON of a passkey ceremony that was begun; null: none
    CONSTRAINT session_value_is_unique UNIQUE (value_hash)
);
CREATE INDEX session_by_user ON session (user_id, id);
CREATE INDEX session_by_end ON session (ends_at);

-- What an account says of itself, and which agreement it has accepted.
CREATE TABLE account_profile (
    account_id        TEXT   NOT NULL PRIMARY KEY CONSTRAINT account_profile_has_its_account REFERENCES account (id),
    kind              TEXT   NOT NULL,
    company           TEXT   NOT NULL, -- JSON
    agreement_version TEXT   NOT NULL DEFAULT '', -- '': none
    agreement_at      BIGINT,
    agreement_from    TEXT   NOT NULL DEFAULT '',
    agreement_by      TEXT   NOT NULL DEFAULT '',
    CONSTRAINT account_profile_kind_is_known CHECK (kind IN ('direct', 'service_provider', 'staff'))
);

CREATE TABLE invitation (
    id         TEXT   NOT NULL PRIMARY KEY,
    account_id TEXT   NOT NULL CONSTRAINT invitation_has_its_account REFERENCES account (id),
    email      TEXT   NOT NULL,
    locale     TEXT   NOT NULL,
    roles      TEXT   NOT NULL,
    invited_by TEXT   NOT NULL, -- a user's ID, '' for operators
    state      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT invitation_state_is_known CHECK (state IN ('pending', 'accepted', 'withdrawn'))
);
CREATE INDEX invitation_by_account ON invitation (account_id, id);

-- The OpenID provider by which the people of an account may sign in.
CREATE TABLE account_oidc (
    account_id    TEXT    NOT NULL PRIMARY KEY CONSTRAINT account_oidc_has_its_account REFERENCES account (id),
    issuer        TEXT    NOT NULL,
    client_id     TEXT    NOT NULL,
    secret_sealed BYTEA   NOT NULL,
    accepts_mfa   BOOLEAN NOT NULL, -- a second factor that was shown to the provider counts here
    changed_at    BIGINT  NOT NULL
);

CREATE TABLE oidc_subject (
    account_id TEXT   NOT NULL,
    issuer     TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    user_id    TEXT   NOT NULL CONSTRAINT oidc_subject_has_its_user REFERENCES account_user (id),
    linked_at  BIGINT NOT NULL,
    PRIMARY KEY (account_id, issuer, subject)
);

-- Sign-ins that are at a provider, each for one use and ten minutes at most.
CREATE TABLE oidc_flow (
    state_hash   BYTEA  NOT NULL PRIMARY KEY,
    browser_hash BYTEA  NOT NULL, -- of the value in the browser's cookie
    account_id   TEXT   NOT NULL,
    sealed       BYTEA  NOT NULL, -- nonce and PKCE verifier
    expires_at   BIGINT NOT NULL
);
CREATE INDEX oidc_flow_by_expiry ON oidc_flow (expires_at);

-- +goose Down
