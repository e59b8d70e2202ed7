-- 00015: quotes, and what people were told of their quota.
--
-- Adds tables of its own, which release N-1 neither reads nor writes: there are no quotes
-- there, and it tells nobody of quota. The lots that quotes make are ordinary ones, from
-- which it issues. Locks nothing. Cannot fail on data. To go back: run release N-1; there
-- is nothing to undo.

-- +goose Up

CREATE TABLE quote (
    id            TEXT   NOT NULL PRIMARY KEY,
    account_id    TEXT   NOT NULL CONSTRAINT quote_has_its_account REFERENCES account (id),
    state         TEXT   NOT NULL,
    currency      TEXT   NOT NULL, -- ISO 4217
    note          TEXT   NOT NULL,
    reorder_of    TEXT   CONSTRAINT quote_repeats_a_quote REFERENCES quote (id),
    created_by    TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    valid_until   BIGINT NOT NULL,
    sent_at       BIGINT,
    accepted_at   BIGINT,
    accepted_by   TEXT   NOT NULL DEFAULT '', -- a user's ID
    accepted_name TEXT   NOT NULL DEFAULT '',
    accepted_from TEXT   NOT NULL DEFAULT '', -- an address
    terms         TEXT   NOT NULL DEFAULT '', -- the version that was accepted
    po_number     TEXT   NOT NULL DEFAULT '', -- '': they need none
    active_at     BIGINT,
    cleared_by    TEXT   NOT NULL DEFAULT '',
    ended_at      BIGINT,
    ended_why     TEXT   NOT NULL DEFAULT '',
    CONSTRAINT quote_state_is_known CHECK (state IN
        ('draft', 'sent', 'accepted', 'credit_check', 'active', 'expired', 'cancelled')),
    CONSTRAINT quote_is_accepted_by_somebody CHECK ((accepted_at IS NULL) = (accepted_by = '')),
    CONSTRAINT quote_is_active_once_accepted CHECK (active_at IS NULL OR accepted_at IS NOT NULL)
);
CREATE INDEX quote_by_account ON quote (account_id, id);
CREATE INDEX quote_by_state ON quote (state, id);

-- What a quote offers. Once it is active, each line names the subscription and the lot
-- that it made; one of a service without quota has no lot.
CREATE TABLE quote_line (
    quote_id        TEXT    NOT NULL CONSTRAINT quote_line_has_its_quote REFERENCES quote (id),
    position        BIGINT  NOT NULL,
    service_id      TEXT    NOT NULL CONSTRAINT quote_line_has_its_service REFERENCES service (id),
    amount          BIGINT  NOT NULL,
    months          BIGINT  NOT NULL,
    trial           BOOLEAN NOT NULL,
    price           BIGINT  NOT NULL, -- in minor units
    subscription_id TEXT    CONSTRAINT quote_line_makes_a_subscription REFERENCES subscription (id),
    lot_id          TEXT    CONSTRAINT quote_line_makes_a_lot REFERENCES quota_lot (id),
    PRIMARY KEY (quote_id, position),
    CONSTRAINT quote_line_is_positive CHECK (amount >= 0 AND months >= 1 AND price >= 0)
);
CREATE INDEX quote_line_by_lot ON quote_line (lot_id) WHERE lot_id IS NOT NULL;

-- How much of a pool of lots the people of an account were told that it is used. Another
-- set of lots is another pool, of which they were told nothing.
CREATE TABLE quota_notice (
    subscription_id TEXT   NOT NULL PRIMARY KEY CONSTRAINT quota_notice_has_its_subscription REFERENCES subscription (id),
    pool            BYTEA  NOT NULL, -- SHA-256 of the IDs of its lots
    told            BIGINT NOT NULL, -- percent
    told_at         BIGINT NOT NULL
);

-- The pairs of an account, over which its certificates are counted.
CREATE INDEX pair_by_account ON pair (account_id, id);

-- +goose Down
