-- Caller: doctor. Replication slots that keep what more than $1 transactions have made dead.
SELECT slot_name::text AS "slot_name!", active AS "active!", kept.transactions AS "transactions!"
FROM pg_replication_slots
CROSS JOIN LATERAL (SELECT greatest(age(xmin), age(catalog_xmin)) AS transactions) AS kept
WHERE kept.transactions > $1
ORDER BY slot_name
