-- 00001: accounts, issuers, certificates, counters and the audit log.
--
-- Times are Unix milliseconds in UTC, IDs are text with a prefix, serials are
-- 16 octets. The words between /*sqlite ... sqlite*/ and /*postgres ...
-- postgres*/ belong to that engine alone.
-- Locks nothing: the database is empty. To go back: drop the database.

-- +goose Up

-- One holder at a time may do the work that a lease names.
CREATE TABLE lease (
    name       TEXT   NOT NULL PRIMARY KEY,
    holder     TEXT   NOT NULL,
    expires_at BIGINT NOT NULL
);

-- A row for each transaction that somebody is told the outcome of. Whoever must
-- find out what became of one inserts its row with voided set: one of the two is
-- refused. IDs begin with the time (48 bits of milliseconds) and are kept for an
-- hour.
CREATE TABLE commit_marker (
    id     BYTEA   NOT NULL PRIMARY KEY,
    voided BOOLEAN NOT NULL
) /*sqlite WITHOUT ROWID sqlite*/;

-- What changed, for the snapshots of other replicas. Rows are kept for an hour.
CREATE TABLE change (
    id     BYTEA  NOT NULL PRIMARY KEY,
    at     BIGINT NOT NULL,
    kind   TEXT   NOT NULL,
    object TEXT   NOT NULL
);
CREATE INDEX change_by_time ON change (at);

CREATE TABLE account (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT account_name_is_unique UNIQUE (name),
    CONSTRAINT account_state_is_known CHECK (state IN ('active', 'disabled', 'deleted'))
);

CREATE TABLE account_user (
    id            TEXT   NOT NULL PRIMARY KEY,
    account_id    TEXT   NOT NULL CONSTRAINT account_user_has_its_account REFERENCES account (id),
    email         TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    password_hash TEXT   NOT NULL,
    roles         TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    CONSTRAINT account_user_email_is_unique UNIQUE (email),
    CONSTRAINT account_user_state_is_known CHECK (state IN ('active', 'disabled', 'deleted'))
);
CREATE INDEX account_user_by_account ON account_user (account_id, id);

CREATE TABLE identity (
    id         TEXT   NOT NULL PRIMARY KEY,
    account_id TEXT   NOT NULL CONSTRAINT identity_has_its_account REFERENCES account (id),
    name       TEXT   NOT NULL,
    data       TEXT   NOT NULL, -- JSON object of strings
    state      TEXT   NOT NULL,
    expires_at BIGINT,
    created_at BIGINT NOT NULL,
    CONSTRAINT identity_state_is_known CHECK (state IN
        ('draft', 'queued', 'processed', 'active', 'rejected', 'expired', 'withdrawn'))
);
CREATE INDEX identity_by_account ON identity (account_id, id);

CREATE TABLE hierarchy (
    id         TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT hierarchy_name_is_unique UNIQUE (name)
);

CREATE TABLE issuer_series (
    id           TEXT   NOT NULL PRIMARY KEY,
    hierarchy_id TEXT   NOT NULL CONSTRAINT issuer_series_has_its_hierarchy REFERENCES hierarchy (id),
    name         TEXT   NOT NULL,
    key_type     TEXT   NOT NULL,
    eku_family   TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    CONSTRAINT issuer_series_name_is_unique UNIQUE (name)
);

CREATE TABLE issuer (
    id           TEXT   NOT NULL PRIMARY KEY,
    hierarchy_id TEXT   NOT NULL CONSTRAINT issuer_has_its_hierarchy REFERENCES hierarchy (id),
    series_id    TEXT   CONSTRAINT issuer_has_its_series REFERENCES issuer_series (id),
    parent_id    TEXT   CONSTRAINT issuer_has_its_parent REFERENCES issuer (id),
    role         TEXT   NOT NULL,
    status       TEXT   NOT NULL,
    key_name     TEXT   NOT NULL,
    certificate  BYTEA  NOT NULL,
    crl_shards   BIGINT NOT NULL,
    activate_at  BIGINT NOT NULL,
    retire_at    BIGINT,
    created_at   BIGINT NOT NULL,
    CONSTRAINT issuer_role_is_known CHECK (role IN ('root', 'issuing')),
    CONSTRAINT issuer_status_is_known CHECK (status IN ('planned', 'active', 'retired', 'expired')),
    CONSTRAINT issuer_has_a_shard CHECK (crl_shards >= 1),
    CONSTRAINT issuer_retires_after_it_starts CHECK (retire_at IS NULL OR retire_at > activate_at),
    CONSTRAINT issuing_ca_has_a_series CHECK (role = 'root' OR series_id IS NOT NULL)
);
CREATE UNIQUE INDEX issuer_one_active ON issuer (series_id) WHERE status = 'active';

CREATE TABLE service (
    id                TEXT    NOT NULL PRIMARY KEY,
    name              TEXT    NOT NULL,
    version           BIGINT  NOT NULL,
    policy_template   TEXT    NOT NULL,
    series_id         TEXT    NOT NULL CONSTRAINT service_has_its_series REFERENCES issuer_series (id),
    domain_validation BOOLEAN NOT NULL,
    strict_content    BOOLEAN NOT NULL,
    strict_caa        BOOLEAN NOT NULL,
    strict_mpic       BOOLEAN NOT NULL,
    unlimited         BOOLEAN NOT NULL,
    created_at        BIGINT  NOT NULL,
    changed_at        BIGINT  NOT NULL,
    CONSTRAINT service_name_is_unique UNIQUE (name)
);

CREATE TABLE subscription (
    id         TEXT   NOT NULL PRIMARY KEY,
    account_id TEXT   NOT NULL CONSTRAINT subscription_has_its_account REFERENCES account (id),
    service_id TEXT   NOT NULL CONSTRAINT subscription_has_its_service REFERENCES service (id),
    created_at BIGINT NOT NULL
);
CREATE INDEX subscription_by_account ON subscription (account_id, id);

CREATE TABLE quota_lot (
    id              TEXT   NOT NULL PRIMARY KEY,
    subscription_id TEXT   NOT NULL CONSTRAINT quota_lot_has_its_subscription REFERENCES subscription (id),
    amount          BIGINT NOT NULL,
    used            BIGINT NOT NULL,
    starts_at       BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    CONSTRAINT quota_lot_is_not_overdrawn CHECK (used >= 0 AND used <= amount),
    CONSTRAINT quota_lot_ends_after_it_starts CHECK (expires_at > starts_at)
);
CREATE INDEX quota_lot_by_subscription ON quota_lot (subscription_id, expires_at, id);

-- A subscription and an identity of one account: the scope of a credential.
CREATE TABLE pair (
    id              BIGINT NOT NULL PRIMARY KEY,
    account_id      TEXT   NOT NULL CONSTRAINT pair_has_its_account REFERENCES account (id),
    subscription_id TEXT   NOT NULL CONSTRAINT pair_has_its_subscription REFERENCES subscription (id),
    identity_id     TEXT   NOT NULL CONSTRAINT pair_has_its_identity REFERENCES identity (id),
    created_at      BIGINT NOT NULL,
    CONSTRAINT pair_is_unique UNIQUE (subscription_id, identity_id)
);

CREATE TABLE credential (
    id             TEXT   NOT NULL PRIMARY KEY,
    account_id     TEXT   NOT NULL CONSTRAINT credential_has_its_account REFERENCES account (id),
    name           TEXT   NOT NULL,
    api_key        TEXT   NOT NULL,
    secret_mac     BYTEA  NOT NULL,
    pepper_version BIGINT NOT NULL,
    pair_id        BIGINT NOT NULL CONSTRAINT credential_has_its_pair REFERENCES pair (id),
    mtls           TEXT   NOT NULL,
    allowed_ips    TEXT   NOT NULL, -- prefixes, separated by spaces
    state          TEXT   NOT NULL,
    epoch          BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    CONSTRAINT credential_name_is_unique UNIQUE (account_id, name),
    CONSTRAINT credential_key_is_unique UNIQUE (api_key),
    CONSTRAINT credential_mtls_is_known CHECK (mtls IN ('required', 'none')),
    CONSTRAINT credential_state_is_known CHECK (state IN ('active', 'disabled', 'deleted'))
);

-- Apart from the credential, so that a login does not rewrite the row that the
-- snapshots follow.
CREATE TABLE credential_use (
    credential_id TEXT   NOT NULL PRIMARY KEY CONSTRAINT credential_use_has_its_credential REFERENCES credential (id),
    at            BIGINT NOT NULL,
    address       TEXT   NOT NULL
);

CREATE TABLE client_certificate (
    id          TEXT   NOT NULL PRIMARY KEY,
    account_id  TEXT   NOT NULL CONSTRAINT client_certificate_has_its_account REFERENCES account (id),
    fingerprint BYTEA  NOT NULL,
    serial      BYTEA  NOT NULL,
    issuer_id   TEXT   NOT NULL CONSTRAINT client_certificate_has_its_issuer REFERENCES issuer (id),
    der         BYTEA  NOT NULL,
    spki_hash   BYTEA  NOT NULL,
    crl_shard   BIGINT NOT NULL,
    not_after   BIGINT NOT NULL,
    state       TEXT   NOT NULL,
    revoked_at  BIGINT,
    reason      TEXT,
    created_at  BIGINT NOT NULL,
    CONSTRAINT client_certificate_is_unique UNIQUE (fingerprint),
    CONSTRAINT client_certificate_serial_is_unique UNIQUE (serial),
    CONSTRAINT client_certificate_state_is_known CHECK (state IN ('active', 'disabled', 'revoked'))
);
CREATE INDEX client_certificate_by_account ON client_certificate (account_id, id);
CREATE INDEX client_certificate_by_key ON client_certificate (spki_hash);

CREATE TABLE client_certificate_link (
    client_certificate_id TEXT   NOT NULL CONSTRAINT client_certificate_link_has_its_client_certificate REFERENCES client_certificate (id),
    credential_id         TEXT   NOT NULL CONSTRAINT client_certificate_link_has_its_credential REFERENCES credential (id),
    created_at            BIGINT NOT NULL,
    PRIMARY KEY (client_certificate_id, credential_id)
);
CREATE INDEX client_certificate_link_by_credential ON client_certificate_link (credential_id);

-- The account that first had an mTLS certificate made for a public key: no other
-- one may use the key.
CREATE TABLE client_key (
    spki_hash  BYTEA NOT NULL PRIMARY KEY,
    account_id TEXT  NOT NULL CONSTRAINT client_key_has_its_account REFERENCES account (id)
);

-- The effective policies that certificates were accepted under.
CREATE TABLE policy_version (
    version    TEXT   NOT NULL PRIMARY KEY,
    model      TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

-- The facts of every certificate. Serials begin with the hour, so that inserts
-- stay in one place of each index.
CREATE TABLE certificate (
    serial         BYTEA  NOT NULL PRIMARY KEY,
    pair_id        BIGINT NOT NULL CONSTRAINT certificate_has_its_pair REFERENCES pair (id),
    credential_id  TEXT   NOT NULL,
    issuer_id      TEXT   NOT NULL CONSTRAINT certificate_has_its_issuer REFERENCES issuer (id),
    policy_version TEXT   NOT NULL,
    crl_shard      BIGINT NOT NULL,
    spki_hash      BYTEA  NOT NULL,
    not_before     BIGINT NOT NULL,
    not_after      BIGINT NOT NULL,
    accepted_at    BIGINT NOT NULL,
    rekey_of       BYTEA,
    status         TEXT   NOT NULL,
    updated_at     BIGINT NOT NULL,
    revoked_at     BIGINT,
    reason         TEXT,
    compromised_at BIGINT,
    attested       BOOLEAN NOT NULL,
    CONSTRAINT certificate_serial_has_16_octets CHECK (length(serial) = 16),
    CONSTRAINT certificate_status_is_known CHECK (status IN ('issued', 'revoked')),
    CONSTRAINT certificate_is_revoked_with_a_reason CHECK ((status = 'revoked') = (revoked_at IS NOT NULL)),
    CONSTRAINT certificate_ends_after_it_starts CHECK (not_after > not_before)
) /*sqlite WITHOUT ROWID sqlite*/;
CREATE INDEX certificate_by_acceptance ON certificate (pair_id, accepted_at, serial, not_before, not_after);
CREATE INDEX certificate_by_expiry ON certificate (pair_id, not_after, serial, not_before);
CREATE INDEX certificate_by_revocation ON certificate (pair_id, revoked_at, serial, not_before, not_after)
    WHERE revoked_at IS NOT NULL;

-- The bytes of every certificate and the request that it was issued for (JSON,
-- what a rekey repeats), apart from the facts that are read in bulk.
CREATE TABLE certificate_der (
    serial    BYTEA  NOT NULL,
    not_after BIGINT NOT NULL,
    der       BYTEA  NOT NULL,
    request   BYTEA  NOT NULL,
    PRIMARY KEY (serial, not_after)
) /*postgres PARTITION BY RANGE (not_after) postgres*/;
/*postgres CREATE TABLE certificate_der_rest PARTITION OF certificate_der DEFAULT; postgres*/

-- All-time counts of a pair: issued and revoked.
CREATE TABLE counter (
    pair_id BIGINT NOT NULL CONSTRAINT counter_has_its_pair REFERENCES pair (id),
    kind    TEXT   NOT NULL,
    n       BIGINT NOT NULL,
    PRIMARY KEY (pair_id, kind),
    CONSTRAINT counter_kind_is_known CHECK (kind IN ('issued', 'revoked'))
) /*sqlite WITHOUT ROWID sqlite*/;

-- How many certificates of a pair were issued, were revoked or expire in each
-- hour and in each second, by which totals and page starts are found without
-- counting rows.
CREATE TABLE hour_count (
    pair_id BIGINT NOT NULL,
    kind    TEXT   NOT NULL,
    start   BIGINT NOT NULL, -- Unix hours
    n       BIGINT NOT NULL,
    PRIMARY KEY (pair_id, kind, start),
    CONSTRAINT hour_count_is_not_negative CHECK (n >= 0)
) /*sqlite WITHOUT ROWID sqlite*/;
CREATE TABLE second_count (
    pair_id BIGINT NOT NULL,
    kind    TEXT   NOT NULL,
    start   BIGINT NOT NULL, -- Unix seconds
    n       BIGINT NOT NULL,
    PRIMARY KEY (pair_id, kind, start),
    CONSTRAINT second_count_is_not_negative CHECK (n >= 0)
) /*sqlite WITHOUT ROWID sqlite*/;

-- The audit log: events as they were written, the segments that give them their
-- order, the tiles of the Merkle tree over them, and the tree's head.
CREATE TABLE audit_event (
    id         BYTEA  NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    account_id TEXT   NOT NULL, -- empty: the platform's own
    payload    BYTEA  NOT NULL
) /*sqlite WITHOUT ROWID sqlite*/;
CREATE INDEX audit_event_by_account ON audit_event (account_id, id);
CREATE TABLE audit_segment (
    first_seq BIGINT NOT NULL PRIMARY KEY,
    events    BIGINT NOT NULL,
    first_id  BYTEA  NOT NULL, -- the smallest event ID in it
    last_id   BYTEA  NOT NULL, -- the largest
    ids       BYTEA  NOT NULL,
    leaves    BYTEA  NOT NULL
);
CREATE INDEX audit_segment_by_event ON audit_segment (last_id);
CREATE TABLE audit_tile (
    level BIGINT NOT NULL,
    n     BIGINT NOT NULL,
    data  BYTEA  NOT NULL,
    PRIMARY KEY (level, n)
);
CREATE TABLE audit_tree (
    id         BIGINT NOT NULL PRIMARY KEY,
    size       BIGINT NOT NULL,
    root       BYTEA  NOT NULL,
    checkpoint TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    CONSTRAINT audit_tree_is_one CHECK (id = 1)
);

-- +goose Down
