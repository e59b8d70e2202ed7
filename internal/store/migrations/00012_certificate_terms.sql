-- 00012: what certificates are found by, who requested them in the portal, saved views.
--
-- Adds tables of its own, which release N-1 neither reads nor writes: it runs unchanged
-- on this schema. What it issues has no terms until the background work of this release
-- has read it, which looks at all certificates once and, a day after it began, again at
-- those that came since: exchange all replicas within that day. What release N-1 drops
-- leaves terms behind, which find nothing. Locks nothing that exists and cannot fail on
-- data. To go back: run release N-1; there is nothing to undo.

-- +goose Up

-- A row for each term that a certificate is found by: its credential, its key, the
-- certificate that it rekeys, each of its names, and each domain that a name is below. A
-- term is a hash, because the rows are many: see store/term.go.
CREATE TABLE certificate_term (
    pair_id     BIGINT NOT NULL,
    term        BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    serial      BYTEA  NOT NULL,
    PRIMARY KEY (pair_id, term, accepted_at, serial)
) /*sqlite WITHOUT ROWID sqlite*/;

-- How far the terms are made of certificates that have none.
CREATE TABLE certificate_term_progress (
    id       BIGINT NOT NULL PRIMARY KEY,
    pass     BIGINT NOT NULL, -- 1: of all; 2: of those since the first began; 3: all is done
    cursor   BYTEA  NOT NULL, -- the last serial number that was read
    began_at BIGINT NOT NULL,
    CONSTRAINT certificate_term_progress_is_one CHECK (id = 1),
    CONSTRAINT certificate_term_pass_is_known CHECK (pass IN (1, 2, 3))
);

-- Who requested a certificate in the portal, and the version of the Subscriber Agreement
-- that they accepted with the request.
CREATE TABLE certificate_requester (
    serial    BYTEA NOT NULL PRIMARY KEY,
    user_id   TEXT  NOT NULL,
    user_name TEXT  NOT NULL, -- as it was then
    agreement TEXT  NOT NULL
) /*sqlite WITHOUT ROWID sqlite*/;

-- Filters of a list that a user has given a name.
CREATE TABLE saved_view (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL CONSTRAINT saved_view_has_its_user REFERENCES account_user (id),
    name       TEXT   NOT NULL,
    query      TEXT   NOT NULL, -- of the list's address
    created_at BIGINT NOT NULL,
    CONSTRAINT saved_view_name_is_unique UNIQUE (user_id, name)
);

-- +goose Down
