-- Makes functions that say what time it is in tests, and has the engine's tables ask them.
CREATE SCHEMA IF NOT EXISTS tasker_clock;
CREATE TABLE IF NOT EXISTS tasker_clock.ahead (by interval NOT NULL);
INSERT INTO tasker_clock.ahead SELECT interval '0' WHERE NOT EXISTS (SELECT FROM tasker_clock.ahead);
DO $install$
DECLARE name text; item record;
BEGIN
  FOREACH name IN ARRAY '{now,statement_timestamp,transaction_timestamp,clock_timestamp}'::text[] LOOP
    EXECUTE format('CREATE OR REPLACE FUNCTION tasker_clock.%I() RETURNS timestamptz LANGUAGE sql %s AS '
      '$$ SELECT pg_catalog.%I() + (SELECT by FROM tasker_clock.ahead) $$', name,
      CASE name WHEN 'clock_timestamp' THEN 'VOLATILE' ELSE 'STABLE' END, name);
  END LOOP;
  FOR item IN
    SELECT c.oid::regclass AS relation, a.attname AS attribute
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
    JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relname LIKE 'tasker\_%' AND c.relkind IN ('r', 'p')
      AND pg_catalog.pg_get_expr(d.adbin, d.adrelid) = 'now()'
  LOOP
    EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT tasker_clock.now()', item.relation, item.attribute);
  END LOOP;
END $install$;
