-- Caller: submit with an identity, first in its transaction. Index: primary keys. Who submits the same waits for this
-- transaction: no longer than $2, or than the transaction's own setting says.
WITH settings AS MATERIALIZED (SELECT set_config('lock_timeout', coalesce($2, current_setting('lock_timeout')), true))
SELECT found.task_id AS "task_id?: TaskId", found.state AS "state?: TaskState"
FROM settings
LEFT JOIN LATERAL (
  SELECT t.task_id, t.state
  FROM tasker_task_identities i
  JOIN tasker_tasks t USING (task_id)
  WHERE i.identity = ANY ($1::bytea[]) AND (i.expires_at IS NULL OR i.expires_at > statement_timestamp())
  ORDER BY t.task_id
  LIMIT 1
) AS found ON true
