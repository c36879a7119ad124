-- Caller: doctor. Tables of this schema with more than $1 dead rows and more dead rows than live ones,
-- by the server's estimates.
SELECT relname::text AS "table!", n_live_tup AS "live_rows!", n_dead_tup AS "dead_rows!",
       extract(epoch FROM clock_timestamp() - greatest(last_vacuum, last_autovacuum))::float8 AS vacuumed_s
FROM pg_stat_user_tables
WHERE relname LIKE 'tasker\_%'
  AND schemaname = (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('tasker_tasks'))
  AND n_dead_tup > greatest(n_live_tup, $1)
ORDER BY n_dead_tup DESC
