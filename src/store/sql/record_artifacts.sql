-- Caller: the ends of attempts that have artifacts. Index: primary key. What an end whose answer was lost has written
-- stays.
INSERT INTO tasker_artifacts (workflow_step_id, attempt, name, media_type, content, uri, created_at)
SELECT a.step, a.attempt, a.name, a.media_type, a.content::json, a.uri, statement_timestamp()
FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[])
  AS a (step, attempt, name, media_type, content, uri)
ON CONFLICT DO NOTHING
