-- Caller: submits, and whatever makes steps claimable, before it commits. $1: the channel of the workers.
SELECT pg_notify($1, queue) FROM unnest($2::text[]) AS q (queue)
