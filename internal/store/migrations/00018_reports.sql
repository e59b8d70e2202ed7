-- 00018: problem reports; who asked for an act in the portal.
--
-- Release N-1 neither reads nor writes problem_report, and leaves the new columns of
-- proposal as they begin: what it proposes was asked for on the admin socket. An act that
-- was asked for in the portal it carries out as an operator's of that name. Locks nothing
-- but proposal, which has few rows, for a moment. Cannot fail on data. To go back: decide
-- what waits, and run release N-1; there is nothing to undo.

-- +goose Up

-- Who asked in the portal; both are empty for an operator of the admin socket.
ALTER TABLE proposal ADD COLUMN account_id TEXT NOT NULL DEFAULT '';
ALTER TABLE proposal ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
-- Why it was approved or rejected, if somebody said so.
ALTER TABLE proposal ADD COLUMN reason TEXT NOT NULL DEFAULT '';

-- What anybody reported of a certificate (BR 4.9.3). It revokes nothing: somebody of the
-- staff makes a case of it, or says why not.
CREATE TABLE problem_report (
    id          TEXT   NOT NULL PRIMARY KEY,
    category    TEXT   NOT NULL, -- as the reporter sees it
    reporter    TEXT   NOT NULL, -- the address that is answered to
    serials     TEXT   NOT NULL, -- JSON: the certificates that it names
    known       BOOLEAN NOT NULL, -- they are all ours
    words       TEXT   NOT NULL,
    address     TEXT   NOT NULL, -- from where it came
    state       TEXT   NOT NULL,
    received_at BIGINT NOT NULL,
    answer_by   BIGINT NOT NULL, -- the preliminary answer is due
    answered_at BIGINT, -- null: not yet
    answered_by TEXT   NOT NULL DEFAULT '',
    told_at     BIGINT, -- when the operators were told that the answer is overdue
    decided_at  BIGINT,
    decided_by  TEXT   NOT NULL DEFAULT '',
    reason      TEXT   NOT NULL DEFAULT '', -- why it was dismissed
    case_id     TEXT   NOT NULL DEFAULT '', -- what was made of it
    CONSTRAINT problem_report_state_is_known CHECK (state IN ('new', 'accepted', 'dismissed')),
    CONSTRAINT problem_report_is_decided_at_a_time CHECK ((state = 'new') = (decided_at IS NULL)),
    CONSTRAINT problem_report_has_a_case CHECK ((state = 'accepted') = (case_id <> ''))
);
CREATE INDEX problem_report_unanswered ON problem_report (answer_by, id) WHERE answered_at IS NULL;
CREATE INDEX problem_report_new ON problem_report (id) WHERE state = 'new';

-- +goose Down
