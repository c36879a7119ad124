-- Caller: doctor. Index: tasker_tasks_unfinished. Reads what is encrypted of every task that has not ended.
SELECT named.key AS "key!", count(DISTINCT named.task_id) AS "tasks!"
FROM (
  SELECT split_part(sealed.value, ':', 1) AS key, sealed.task_id
  FROM (
    SELECT t.task_id, t.context ->> 'tasker_encrypted' AS value
    FROM tasker_tasks t
    WHERE t.finished_at IS NULL
    UNION ALL
    SELECT s.task_id, s.results ->> 'tasker_encrypted'
    FROM tasker_tasks t
    JOIN tasker_workflow_steps s ON s.task_id = t.task_id
    WHERE t.finished_at IS NULL AND s.results IS NOT NULL
    UNION ALL
    SELECT t.task_id, g.payload ->> 'tasker_encrypted'
    FROM tasker_tasks t
    JOIN tasker_signals g ON g.task_id = t.task_id
    WHERE t.finished_at IS NULL
    UNION ALL
    SELECT t.task_id, w.data ->> 'tasker_encrypted'
    FROM tasker_tasks t
    JOIN tasker_step_waits w ON w.workflow_step_id >= t.task_id << 20 AND w.workflow_step_id < (t.task_id + 1) << 20
    WHERE t.finished_at IS NULL
    UNION ALL
    SELECT t.task_id, a.inputs ->> 'tasker_encrypted'
    FROM tasker_tasks t
    JOIN tasker_added_steps a ON a.workflow_step_id >= t.task_id << 20 AND a.workflow_step_id < (t.task_id + 1) << 20
    WHERE t.finished_at IS NULL AND json_typeof(a.inputs) = 'object'
  ) AS sealed
  WHERE sealed.value IS NOT NULL
) AS named
WHERE named.key <> ALL ($1::text[])
GROUP BY named.key
ORDER BY named.key
