-- Caller: claims, and ends of claims with room for more, under the locks of the tasks that they change: those that have a deadline. Index: primary key.
SELECT task_id
FROM tasker_task_deadlines
WHERE task_id = ANY ($1::bigint[]) AND deadline_at <= statement_timestamp()
