-- 00013: the domains of a whole account in one list, and what a new token replaced.
--
-- Adds an index, which release N-1 keeps up and does not use, and a column, which it
-- neither reads nor writes: it runs unchanged on this schema. After it has given a claim
-- a new token, the portal shows an older one as the one before. Locks claim against
-- writes while the index is built: about a second for a million claims. Cannot fail on
-- data. To go back: run release N-1; there is nothing to undo.

-- +goose Up

CREATE INDEX claim_by_account ON claim (account_id, id);

-- What was published before the claim was given a new token: its owner replaces it.
ALTER TABLE claim ADD COLUMN old_token TEXT;

-- +goose Down
