-- Caller: doctor. Sessions of this database whose transaction began more than $1 seconds ago. What the
-- session of another user does is hidden from all but members of pg_read_all_stats; that its snapshot is
-- more than $2 transactions old is not. A vacuum holds nothing back.
SELECT a.pid AS "pid!", coalesce(a.usename, '')::text AS "user!",
       coalesce(a.application_name, '') AS "application_name!",
       coalesce(a.state, 'hidden') AS "state!",
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age_s,
       a.backend_xmin::text AS xmin,
       left(regexp_replace(a.query, '\s+', ' ', 'g'), 120) AS "query!"
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
  AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
  AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
  AND coalesce(a.xact_start < clock_timestamp() - make_interval(secs => $1), age(a.backend_xmin) > $2)
ORDER BY a.xact_start, a.pid
