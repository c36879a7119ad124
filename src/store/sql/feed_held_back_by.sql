-- Caller: the feed, when it waits. What runs in the oldest transaction that has written something, in any database: $1 is
-- the id from which on nobody is waited for.
SELECT 'session ' || a.pid || ' of user ' || coalesce(a.usename, '') || ' (application "' || coalesce(a.application_name, '')
         || '", database ' || coalesce(a.datname, '') || ', ' || coalesce(a.state, 'hidden') || ')' AS "who!",
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age_s
FROM pg_stat_activity a
WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid() AND age(a.backend_xid) > age(($1 % 4294967296)::text::xid)
UNION ALL
SELECT 'the prepared transaction ' || p.gid || ' (database ' || p.database || ')',
       extract(epoch FROM clock_timestamp() - p.prepared)::float8
FROM pg_prepared_xacts p
WHERE age(p.transaction) > age(($1 % 4294967296)::text::xid)
ORDER BY 2 DESC NULLS LAST
LIMIT 1
