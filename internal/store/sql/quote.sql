-- name: InsertQuote :exec
INSERT INTO quote (id, account_id, state, currency, note, reorder_of, created_by, created_at, valid_until, sent_at)
VALUES (sqlc.arg(id), sqlc.arg(account_id), sqlc.arg(state), sqlc.arg(currency), sqlc.arg(note), sqlc.narg(reorder_of),
        sqlc.arg(created_by), sqlc.arg(created_at), sqlc.arg(valid_until), sqlc.narg(sent_at));

-- name: InsertQuoteLine :exec
INSERT INTO quote_line (quote_id, position, service_id, amount, months, trial, price)
VALUES (sqlc.arg(quote_id), sqlc.arg(position), sqlc.arg(service_id), sqlc.arg(amount), sqlc.arg(months), sqlc.arg(trial),
        sqlc.arg(price));

-- name: DropQuoteLines :exec
DELETE FROM quote_line WHERE quote_id = sqlc.arg(quote_id) AND lot_id IS NULL AND subscription_id IS NULL;

-- name: Quote :one
SELECT id, account_id, state, currency, note, reorder_of, created_by, created_at, valid_until, sent_at, accepted_at,
       accepted_by, accepted_name, accepted_from, terms, po_number, active_at, cleared_by, ended_at, ended_why
  FROM quote WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id);

-- name: QuoteByID :one
SELECT id, account_id, state, currency, note, reorder_of, created_by, created_at, valid_until, sent_at, accepted_at,
       accepted_by, accepted_name, accepted_from, terms, po_number, active_at, cleared_by, ended_at, ended_why
  FROM quote WHERE id = sqlc.arg(id);

-- name: QuotesOf :many
SELECT id, account_id, state, currency, note, reorder_of, created_by, created_at, valid_until, sent_at, accepted_at,
       accepted_by, accepted_name, accepted_from, terms, po_number, active_at, cleared_by, ended_at, ended_why
  FROM quote
 WHERE account_id = sqlc.arg(account_id) AND (id < sqlc.arg(before) OR sqlc.arg(before) = '')
   AND (state <> 'draft' OR sqlc.arg(drafts) = TRUE)
 ORDER BY id DESC LIMIT sqlc.arg(lim);

-- name: QuotesIn :many
SELECT id, account_id, state, currency, note, reorder_of, created_by, created_at, valid_until, sent_at, accepted_at,
       accepted_by, accepted_name, accepted_from, terms, po_number, active_at, cleared_by, ended_at, ended_why
  FROM quote
 WHERE state = sqlc.arg(state) AND (id < sqlc.arg(before) OR sqlc.arg(before) = '')
 ORDER BY id DESC LIMIT sqlc.arg(lim);

-- name: AllQuotes :many
SELECT id, account_id, state, currency, note, reorder_of, created_by, created_at, valid_until, sent_at, accepted_at,
       accepted_by, accepted_name, accepted_from, terms, po_number, active_at, cleared_by, ended_at, ended_why
  FROM quote
 WHERE id < sqlc.arg(before) OR sqlc.arg(before) = ''
 ORDER BY id DESC LIMIT sqlc.arg(lim);

-- name: QuoteLines :many
SELECT quote_id, position, service_id, amount, months, trial, price, subscription_id, lot_id
  FROM quote_line WHERE quote_id = sqlc.arg(quote_id) ORDER BY position;

-- name: PacksOf :many
SELECT l.quote_id, l.position, l.service_id, l.amount, l.months, l.trial, l.price, l.subscription_id, l.lot_id, q.currency
  FROM quote AS q JOIN quote_line AS l ON l.quote_id = q.id
 WHERE q.account_id = sqlc.arg(account_id) AND l.lot_id IS NOT NULL;

-- name: EditDraftQuote :execrows
UPDATE quote SET currency = sqlc.arg(currency), note = sqlc.arg(note), valid_until = sqlc.arg(valid_until)
 WHERE id = sqlc.arg(id) AND state = 'draft';

-- name: SendDraftQuote :execrows
UPDATE quote SET state = 'sent', sent_at = CAST(sqlc.arg(now) AS BIGINT)
 WHERE id = sqlc.arg(id) AND state = 'draft' AND valid_until > CAST(sqlc.arg(now) AS BIGINT);

-- name: AcceptSentQuote :execrows
UPDATE quote
   SET state = 'accepted', accepted_at = CAST(sqlc.arg(now) AS BIGINT), accepted_by = sqlc.arg(accepted_by),
       accepted_name = sqlc.arg(accepted_name), accepted_from = sqlc.arg(accepted_from), terms = sqlc.arg(terms),
       po_number = sqlc.arg(po_number)
 WHERE account_id = sqlc.arg(account_id) AND id = sqlc.arg(id) AND state = 'sent'
   AND valid_until > CAST(sqlc.arg(now) AS BIGINT);

-- name: CheckCreditOfQuote :execrows
UPDATE quote SET state = 'credit_check' WHERE id = sqlc.arg(id) AND state = 'accepted';

-- name: ActivateQuote :execrows
UPDATE quote SET state = 'active', active_at = CAST(sqlc.arg(now) AS BIGINT), cleared_by = sqlc.arg(cleared_by)
 WHERE id = sqlc.arg(id) AND state = sqlc.arg(from_state);

-- name: FulfilQuoteLine :execrows
UPDATE quote_line SET subscription_id = sqlc.arg(subscription_id), lot_id = sqlc.narg(lot_id)
 WHERE quote_id = sqlc.arg(quote_id) AND position = sqlc.arg(position) AND subscription_id IS NULL;

-- name: EndQuote :execrows
UPDATE quote SET state = sqlc.arg(to_state), ended_at = CAST(sqlc.arg(now) AS BIGINT), ended_why = sqlc.arg(ended_why)
 WHERE id = sqlc.arg(id) AND state = sqlc.arg(from_state);

-- name: EndLotsOfQuote :execrows
UPDATE quota_lot SET expires_at = CASE WHEN starts_at < CAST(sqlc.arg(now) AS BIGINT)
                                       THEN CAST(sqlc.arg(now) AS BIGINT) ELSE starts_at + 1 END
 WHERE id IN (SELECT lot_id FROM quote_line WHERE quote_id = sqlc.arg(quote_id) AND lot_id IS NOT NULL)
   AND expires_at > CAST(sqlc.arg(now) AS BIGINT);

-- name: SubscriptionTo :many
SELECT id, account_id, service_id, created_at FROM subscription
 WHERE account_id = sqlc.arg(account_id) AND service_id = sqlc.arg(service_id) ORDER BY id LIMIT 1;

-- name: LotsOfAccount :many
SELECT l.id, l.subscription_id, l.amount, l.used, l.starts_at, l.expires_at, l.created_at
  FROM subscription AS s JOIN quota_lot AS l ON l.subscription_id = s.id
 WHERE s.account_id = sqlc.arg(account_id)
 ORDER BY l.expires_at, l.id;

-- name: UsedPools :many
SELECT l.subscription_id, s.account_id, v.name AS service_name, CAST(sum(l.amount) AS BIGINT) AS amount,
       CAST(sum(l.used) AS BIGINT) AS used, CAST(string_agg(l.id, ' ' ORDER BY l.id) AS TEXT) AS lots, n.pool, n.told
  FROM quota_lot AS l JOIN subscription AS s ON s.id = l.subscription_id JOIN service AS v ON v.id = s.service_id
  LEFT JOIN quota_notice AS n ON n.subscription_id = l.subscription_id
 WHERE l.subscription_id > sqlc.arg(after) AND l.starts_at <= sqlc.arg(now) AND l.expires_at > sqlc.arg(now)
   AND v.unlimited = FALSE
 GROUP BY l.subscription_id, s.account_id, v.name, n.pool, n.told
HAVING sum(l.used) * 100 >= sum(l.amount) * CAST(sqlc.arg(percent) AS BIGINT)
 ORDER BY l.subscription_id LIMIT sqlc.arg(lim);

-- name: TellOfQuota :execrows
INSERT INTO quota_notice (subscription_id, pool, told, told_at)
VALUES (sqlc.arg(subscription_id), sqlc.arg(pool), sqlc.arg(told), sqlc.arg(told_at))
ON CONFLICT (subscription_id) DO UPDATE SET pool = excluded.pool, told = excluded.told, told_at = excluded.told_at
 WHERE quota_notice.pool <> excluded.pool OR quota_notice.told < excluded.told;

-- name: CountsOfAccount :many
SELECT CAST((h.start - sqlc.arg(first)) / sqlc.arg(span) AS BIGINT) AS part, CAST(sum(h.n) AS BIGINT) AS n
  FROM pair AS p JOIN hour_count AS h ON h.pair_id = p.id
 WHERE p.account_id = sqlc.arg(account_id) AND h.kind = sqlc.arg(kind) AND h.start >= sqlc.arg(first) AND h.start < sqlc.arg(last)
 GROUP BY part ORDER BY part;

-- name: FindAccounts :many
SELECT a.id, a.name, a.state, a.created_at,
       CAST((SELECT count(*) FROM account_user AS u WHERE u.account_id = a.id AND u.state <> 'deleted') AS BIGINT) AS users,
       CAST((SELECT count(*) FROM subscription AS s WHERE s.account_id = a.id) AS BIGINT) AS subscriptions,
       CAST((SELECT count(*) FROM credential AS c WHERE c.account_id = a.id AND c.state <> 'deleted') AS BIGINT) AS credentials
  FROM account AS a
 WHERE a.name > sqlc.arg(after) AND (a.state = sqlc.arg(state) OR sqlc.arg(state) = '')
   AND (lower(a.name) LIKE CAST(sqlc.arg(pattern) AS TEXT) ESCAPE '!' OR a.id = sqlc.arg(account_id))
 ORDER BY a.name LIMIT sqlc.arg(lim);

-- name: CountAccounts :one
SELECT CAST(count(*) AS BIGINT) AS total, CAST(coalesce(sum(CASE WHEN a.name <= sqlc.arg(after) THEN 1 ELSE 0 END), 0) AS BIGINT) AS before
  FROM account AS a
 WHERE (a.state = sqlc.arg(state) OR sqlc.arg(state) = '')
   AND (lower(a.name) LIKE CAST(sqlc.arg(pattern) AS TEXT) ESCAPE '!' OR a.id = sqlc.arg(account_id));
