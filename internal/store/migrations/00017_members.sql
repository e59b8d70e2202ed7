-- 00017: how an account's people sign in and what they are shown: domains of work
-- addresses for the sign-in by a provider, and whether there is a history of mails.
--
-- Adds tables of its own, which release N-1 neither reads nor writes. Locks nothing.
-- Cannot fail on data. To go back: run release N-1; there is nothing to undo.

-- +goose Up

-- The domains whose work addresses lead to an account's OpenID provider. The account has
-- shown that it controls them; each leads to one account.
CREATE TABLE oidc_domain (
    name       TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL CONSTRAINT oidc_domain_has_its_account REFERENCES account (id)
);
CREATE INDEX oidc_domain_by_account ON oidc_domain (account_id, name);

-- What an account has chosen. Without a row: what the columns' comments say.
CREATE TABLE account_setting (
    account_id   TEXT    NOT NULL PRIMARY KEY CONSTRAINT account_setting_has_its_account REFERENCES account (id),
    mail_history BOOLEAN NOT NULL -- its administrators see which mails were sent; without a row: yes
);

-- +goose Down
