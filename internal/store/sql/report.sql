-- name: InsertReport :exec
INSERT INTO problem_report (id, category, reporter, serials, known, words, address, state, received_at, answer_by)
VALUES (sqlc.arg(id), sqlc.arg(category), sqlc.arg(reporter), sqlc.arg(serials), sqlc.arg(known), sqlc.arg(words), sqlc.arg(address), 'new',
        sqlc.arg(received_at), sqlc.arg(answer_by));

-- name: CountNewReports :one
SELECT count(*) FROM problem_report WHERE state = 'new';

-- name: ReportByID :one
SELECT id, category, reporter, serials, known, words, address, state, received_at, answer_by, answered_at, answered_by, told_at,
       decided_at, decided_by, reason, case_id
  FROM problem_report WHERE id = sqlc.arg(id);

-- name: Reports :many
SELECT id, category, reporter, serials, known, words, address, state, received_at, answer_by, answered_at, answered_by, told_at,
       decided_at, decided_by, reason, case_id
  FROM problem_report WHERE id < sqlc.arg(before) ORDER BY id DESC LIMIT sqlc.arg(lim);

-- name: UnansweredReports :many
SELECT id, category, reporter, serials, known, words, address, state, received_at, answer_by, answered_at, answered_by, told_at,
       decided_at, decided_by, reason, case_id
  FROM problem_report WHERE answered_at IS NULL ORDER BY answer_by, id LIMIT sqlc.arg(lim);

-- name: AnswerReport :execrows
UPDATE problem_report SET answered_at = CAST(sqlc.arg(now) AS BIGINT), answered_by = sqlc.arg(answered_by)
 WHERE id = sqlc.arg(id) AND answered_at IS NULL;

-- name: DecideReport :execrows
UPDATE problem_report SET state = sqlc.arg(to_state), decided_at = CAST(sqlc.arg(now) AS BIGINT), decided_by = sqlc.arg(decided_by),
       reason = sqlc.arg(reason), case_id = sqlc.arg(case_id)
 WHERE id = sqlc.arg(id) AND state = 'new';

-- name: NoteReportTold :execrows
UPDATE problem_report SET told_at = CAST(sqlc.arg(now) AS BIGINT)
 WHERE id = sqlc.arg(id) AND answered_at IS NULL AND told_at IS NULL;
