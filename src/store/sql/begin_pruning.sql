-- Caller: the pruner, first in each transaction. At most one prunes at a time. It waits for nobody for long,
-- and not for the disk: what a crash undoes is deleted again. The plans must not scan whole tables; hash joins are
-- for lists within a statement.
SELECT pg_try_advisory_xact_lock($1) AS "alone!",
       set_config('tasker.pruning', 'on', true) AS pruning,
       set_config('lock_timeout', '1s', true) AS lock_timeout,
       set_config('synchronous_commit', 'off', true) AS synchronous_commit,
       set_config('enable_seqscan', 'off', true) AS enable_seqscan,
       set_config('enable_hashjoin', 'on', true) AS enable_hashjoin,
       set_config('enable_mergejoin', 'off', true) AS enable_mergejoin
