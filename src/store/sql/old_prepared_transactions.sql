-- Caller: doctor. Transactions of this database that were prepared more than $1 seconds ago and neither
-- committed nor rolled back since.
SELECT gid AS "gid!", owner::text AS "user!",
       extract(epoch FROM clock_timestamp() - prepared)::float8 AS "age_s!"
FROM pg_prepared_xacts
WHERE database = current_database() AND prepared < clock_timestamp() - make_interval(secs => $1)
ORDER BY prepared
