-- Caller: the follow-up that undoes a task, in the transaction that makes the undoing one, under the lock of the original.
INSERT INTO tasker_compensations (original_task_id, task_id)
VALUES ($1, $2)
