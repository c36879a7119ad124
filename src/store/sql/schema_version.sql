-- Caller: every client and worker before its first statement, and migrations. Reads the catalogue's
-- tables: functions like to_regclass may still answer from a cache after another session's commit.
SELECT d.description AS "comment!"
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0
WHERE c.relname = 'tasker_tasks' AND n.nspname = ANY (current_schemas(false))
ORDER BY array_position(current_schemas(false), n.nspname)
LIMIT 1
