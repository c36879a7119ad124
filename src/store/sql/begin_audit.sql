-- Caller: doctor, first in the transaction of audit.sql. The planner takes each list that audit.sql makes for a short one.
-- With millions of rows, grouping them by hashes then takes hours, and sorting them seconds; and looking in one list for each row of
-- another takes minutes with a hundred thousand.
SELECT set_config('enable_hashagg', 'off', true) AS enable_hashagg,
       set_config('enable_nestloop', 'off', true) AS enable_nestloop,
       set_config('jit', 'off', true) AS jit,
       set_config('work_mem', '64MB', true) AS work_mem
