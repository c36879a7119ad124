-- Caller: decisions that have waiting steps claimed at once; their rows of the hot table are written anew. Index: primary
-- key. Locks: the rows, which the transaction has locked before.
DELETE FROM tasker_ready_steps WHERE workflow_step_id = ANY ($1::bigint[])
