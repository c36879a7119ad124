-- Templates, tasks, steps, their history, and the workers. Vocabulary and invariants: docs/schema.md.

CREATE TYPE tasker_task_state AS ENUM (
  'pending', 'in_progress', 'waiting', 'blocked', 'paused',
  'complete', 'error', 'cancelled', 'resolved_manually');

CREATE TYPE tasker_step_state AS ENUM (
  'pending', 'enqueued', 'in_progress', 'waiting_for_retry', 'waiting', 'blocked',
  'complete', 'error', 'skipped', 'cancelled', 'resolved_manually');

CREATE TYPE tasker_step_event AS ENUM (
  'parents_completed', 'claimed', 'succeeded', 'retry_scheduled', 'failed_permanently',
  'retries_exhausted', 'not_retryable', 'needs_intervention', 'condition_unmet', 'given_back', 'interrupted',
  'worker_died', 'crashes_exhausted', 'cancelled', 'retried', 'skipped', 'resolved_manually',
  'went_waiting', 'signalled', 'timed_out', 'mapped', 'items_done', 'items_failed', 'items_retried',
  'item_given_up', 'budget_exhausted', 'rerun', 'reset', 'copied');

CREATE TYPE tasker_task_event AS ENUM (
  'started', 'went_waiting', 'resumed', 'got_blocked', 'completed', 'failed', 'cancelled', 'paused',
  'deadline_passed', 'budget_exhausted', 'budget_raised', 'compensation_requested');

CREATE TYPE tasker_attempt_outcome AS ENUM (
  'succeeded', 'retryable', 'permanent', 'blocked', 'timeout', 'interrupted', 'worker_died', 'cancelled',
  'waiting');

CREATE TYPE tasker_follow_up_kind AS ENUM ('tell_parent', 'compensate', 'cancel');

CREATE TYPE tasker_worker_state AS ENUM ('running', 'draining', 'stopped', 'dead');

CREATE TABLE tasker_task_namespaces (
  task_namespace_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name              text NOT NULL UNIQUE CHECK (octet_length(name) BETWEEN 1 AND 64),
  created_at        timestamptz NOT NULL DEFAULT now()
);

-- A row is one version of a template; `configuration` is its normalised JSON and never
-- changes: another definition of a version that no task was made from yet is another row.
CREATE TABLE tasker_named_tasks (
  named_task_id     int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_namespace_id int NOT NULL REFERENCES tasker_task_namespaces,
  name              text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 128),
  version           text NOT NULL CHECK (octet_length(version) BETWEEN 1 AND 64),
  description       text,
  configuration     json NOT NULL,
  created_at        timestamptz NOT NULL DEFAULT now(),
  UNIQUE (task_namespace_id, name, version)
);

CREATE TABLE tasker_named_steps (
  named_step_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  named_task_id int NOT NULL REFERENCES tasker_named_tasks ON DELETE CASCADE,
  step_index    int NOT NULL CHECK (step_index BETWEEN 0 AND 1048575),
  name          text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 512),
  queue         text NOT NULL CHECK (octet_length(queue) BETWEEN 1 AND 64),
  UNIQUE (named_task_id, step_index),
  UNIQUE (named_task_id, name)
);

-- Which queues there are, without reading the steps.
CREATE INDEX tasker_named_steps_queue ON tasker_named_steps (queue);

CREATE TABLE tasker_workers (
  worker_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  state        tasker_worker_state NOT NULL DEFAULT 'running',
  host         text NOT NULL,
  pid          int NOT NULL,
  concurrency  int NOT NULL CHECK (concurrency > 0),
  queues       text[],
  dead_after_ms int NOT NULL CHECK (dead_after_ms > 0),
  resting_ms   int NOT NULL DEFAULT 0 CHECK (resting_ms >= 0),
  started_at   timestamptz NOT NULL DEFAULT now(),
  heartbeat_at timestamptz NOT NULL DEFAULT now(),
  stopped_at   timestamptz,
  CHECK ((stopped_at IS NULL) = (state IN ('running', 'draining')))
) WITH (fillfactor = 50);

-- Serves: heartbeats that look for dead workers.
CREATE INDEX tasker_workers_alive ON tasker_workers (worker_id) WHERE state IN ('running', 'draining');

-- Pruning leaves as many dead rows as workers make live ones. Vacuums of the tables that hold a task's rows come
-- early and may do five times as much at once as by default (cost_limit), so that the tables do not grow.

-- The counters count the task's steps by what they are doing, and the failures that hold something up: for each
-- pending step its parents in error, and each step in error without children. The task's state follows from them
-- alone (docs/state_machines.md). A large context lies out of line, so that an update of the
-- counters does not copy it.
CREATE TABLE tasker_tasks (
  task_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  named_task_id  int NOT NULL REFERENCES tasker_named_tasks,
  parent_step_id bigint,
  state          tasker_task_state NOT NULL DEFAULT 'pending',
  total_steps    int NOT NULL CHECK (total_steps BETWEEN 1 AND 1048576),
  runnable_steps int NOT NULL CHECK (runnable_steps >= 0),
  waiting_steps  int NOT NULL DEFAULT 0 CHECK (waiting_steps >= 0),
  blocked_steps  int NOT NULL DEFAULT 0 CHECK (blocked_steps >= 0),
  open_failures  int NOT NULL DEFAULT 0 CHECK (open_failures >= 0),
  has_budget     boolean NOT NULL DEFAULT false,
  has_deadline   boolean NOT NULL DEFAULT false,
  priority       smallint NOT NULL DEFAULT 0,
  requested_at   timestamptz NOT NULL DEFAULT now(),
  started_at     timestamptz,
  finished_at    timestamptz,
  initiator      text CHECK (octet_length(initiator) <= 128),
  source_system  text CHECK (octet_length(source_system) <= 128),
  reason         text CHECK (octet_length(reason) <= 1024),
  tags           jsonb,
  context        jsonb NOT NULL CHECK (jsonb_typeof(context) = 'object'),
  CHECK (runnable_steps + waiting_steps + blocked_steps <= total_steps),
  CHECK ((finished_at IS NOT NULL) = (state IN ('complete', 'error', 'cancelled', 'resolved_manually'))),
  CHECK (state NOT IN ('in_progress', 'waiting', 'blocked', 'complete', 'error') OR started_at IS NOT NULL),
  CHECK (state NOT IN ('complete', 'error', 'blocked', 'waiting') OR runnable_steps = 0),
  CHECK (state NOT IN ('complete', 'error', 'blocked') OR waiting_steps = 0),
  CHECK (state <> 'complete' OR (blocked_steps = 0 AND open_failures = 0))
) WITH (fillfactor = 45, toast_tuple_target = 512, autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Serves: lists of tasks in a state that is not final, and the doctor. The predicate names a column
-- that changes once, so that the start of a task touches no index.
CREATE INDEX tasker_tasks_unfinished ON tasker_tasks (task_id) WHERE finished_at IS NULL;

-- Serves: lists of tasks in error, and of steps in error or blocked.
CREATE INDEX tasker_tasks_failed ON tasker_tasks (task_id) WHERE open_failures > 0 OR blocked_steps > 0;

-- A step's id holds its task's id (docs/decisions/0002-step-ids.md). Parents are counted while the step waits for
-- them: those that are not done, those in error, those that were skipped; a map step that failed by its items keeps
-- counting them. Results are written once,
-- with the last update of the row. No index holds a column that ever changes: an update leaves all
-- indexes alone as long as its page has room (docs/decisions/0008-hot-updates.md).
CREATE TABLE tasker_workflow_steps (
  workflow_step_id bigint PRIMARY KEY,
  task_id          bigint NOT NULL,
  named_step_id    int NOT NULL,
  state            tasker_step_state NOT NULL,
  open_parents     int NOT NULL CHECK (open_parents >= 0),
  failed_parents   int NOT NULL DEFAULT 0 CHECK (failed_parents >= 0),
  skipped_parents  int NOT NULL DEFAULT 0 CHECK (skipped_parents >= 0),
  attempts         int NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  failures         int NOT NULL DEFAULT 0 CHECK (failures >= 0),
  crashes          int NOT NULL DEFAULT 0 CHECK (crashes >= 0),
  worker_id        bigint,
  claimed_at       timestamptz,
  results          json,
  CHECK (workflow_step_id >> 20 = task_id),
  CHECK (failures + crashes <= attempts),
  CHECK ((state = 'in_progress') = (worker_id IS NOT NULL)),
  CHECK (worker_id IS NULL OR claimed_at IS NOT NULL),
  CHECK ((open_parents + failed_parents > 0) = (state = 'pending') OR state = 'error' AND open_parents = 0),
  CHECK (skipped_parents = 0 OR state IN ('pending', 'error')),
  CHECK (results IS NULL OR state IN ('complete', 'resolved_manually'))
) WITH (fillfactor = 45, autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Serves: the steps of a task for whoever asks by task_id.
CREATE INDEX tasker_workflow_steps_task ON tasker_workflow_steps (task_id);

CREATE TABLE tasker_workflow_step_edges (
  from_step_id bigint NOT NULL,
  to_step_id   bigint NOT NULL,
  PRIMARY KEY (from_step_id, to_step_id),
  CHECK (from_step_id <> to_step_id),
  CHECK (from_step_id >> 20 = to_step_id >> 20)
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Serves: the parents of a step (their results, explanations). Holds both columns, so that reading a
-- part of it is always cheaper than reading all of the primary key.
CREATE INDEX tasker_workflow_step_edges_to ON tasker_workflow_step_edges (to_step_id, from_step_id);

-- The hot table: one row for each step that is enqueued or waits, and no other. It is in no queue while its task is
-- paused. A step that waits for a signal alone is available at 9999-12-31. One is postponed while attempts that run hold
-- what it would reserve of its task's budget. Its priority is that of its task.
CREATE TABLE tasker_ready_steps (
  workflow_step_id bigint PRIMARY KEY,
  queue            text,
  available_at     timestamptz NOT NULL,
  postponed        boolean NOT NULL DEFAULT false,
  priority         smallint NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);

-- Serves: claims, first come first served within a queue and a priority, and the next time to wake up. The sum keeps
-- it from being used to find a step by its id, for which an empty table makes it look as good as the
-- primary key (docs/decisions/0004-plans.md).
CREATE INDEX tasker_ready_steps_order ON tasker_ready_steps (queue, priority, available_at, (workflow_step_id + 0));

-- Serves: what becomes free of a budget, those first that have waited longest.
CREATE INDEX tasker_ready_steps_postponed ON tasker_ready_steps ((workflow_step_id >> 20), available_at) WHERE postponed;

-- Where the claims of a worker are found: one row for each transaction that claimed, until all its
-- claims have ended. Whether a listed step is still claimed, the step says.
CREATE TABLE tasker_claim_batches (
  claim_batch_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  worker_id         bigint NOT NULL,
  workflow_step_ids bigint[] NOT NULL CHECK (cardinality(workflow_step_ids) > 0)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);

-- Serves: heartbeats, rescue.
CREATE INDEX tasker_claim_batches_worker ON tasker_claim_batches (worker_id);

-- Workers that have been silent for too long. One that rests, because it held no claims at its last
-- heartbeat, may be silent for longer by resting_ms; if it has claimed since, not for longer than any
-- other after it did.
CREATE VIEW tasker_silent_workers AS
SELECT w.worker_id
FROM tasker_workers w
CROSS JOIN LATERAL (
  SELECT statement_timestamp() - w.dead_after_ms * interval '1 millisecond' AS heard_by
) AS awake
WHERE w.state IN ('running', 'draining')
  AND w.heartbeat_at < awake.heard_by
  AND (w.heartbeat_at < awake.heard_by - w.resting_ms * interval '1 millisecond'
       OR (SELECT max(s.claimed_at)
           FROM tasker_claim_batches b
           CROSS JOIN LATERAL unnest(b.workflow_step_ids) AS listed (id)
           JOIN tasker_workflow_steps s ON s.workflow_step_id = listed.id AND s.worker_id = b.worker_id
           WHERE b.worker_id = w.worker_id) < awake.heard_by);

-- Numbers the transitions of both tables: one that follows from another has the higher number. The feed relies on
-- numbers that no session keeps in reserve (docs/decisions/0014-feed.md).
CREATE SEQUENCE tasker_transition_ids CACHE 1;

-- Append-only: each change of a step's state with the decision behind it. A change that ends an
-- attempt says how it ended.
CREATE TABLE tasker_workflow_step_transitions (
  workflow_step_id            bigint NOT NULL,
  workflow_step_transition_id bigint NOT NULL DEFAULT nextval('tasker_transition_ids'),
  from_state                  tasker_step_state NOT NULL,
  to_state                    tasker_step_state NOT NULL,
  event                       tasker_step_event NOT NULL,
  attempt                     int NOT NULL,
  worker_id                   bigint,
  created_at                  timestamptz NOT NULL DEFAULT now(),
  claimed_at                  timestamptz,
  execution_us                bigint CHECK (execution_us >= 0),
  outcome                     tasker_attempt_outcome,
  detail                      jsonb,
  error                       jsonb,
  PRIMARY KEY (workflow_step_id, workflow_step_transition_id),
  CHECK (from_state <> to_state),
  CHECK (outcome IS NULL OR (from_state = 'in_progress' AND worker_id IS NOT NULL AND claimed_at <= created_at)),
  CHECK (outcome IS NOT NULL OR (claimed_at IS NULL AND execution_us IS NULL AND error IS NULL)),
  CHECK (error IS NULL OR outcome <> 'succeeded')
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- The attempts that have ended.
CREATE VIEW tasker_attempts AS
SELECT workflow_step_id, attempt, worker_id, outcome, claimed_at, created_at AS finished_at, execution_us, error
FROM tasker_workflow_step_transitions
WHERE outcome IS NOT NULL;

-- What handlers attached to an attempt, written with its end: JSON, or where it lies. And what a step had returned by its last
-- attempt, or an operator had given for it, before it was executed anew.
CREATE TABLE tasker_artifacts (
  workflow_step_id bigint NOT NULL,
  attempt          int NOT NULL CHECK (attempt >= 0),
  name             text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 128),
  media_type       text NOT NULL CHECK (octet_length(media_type) BETWEEN 1 AND 128),
  content          json,
  uri              text CHECK (octet_length(uri) BETWEEN 1 AND 2048),
  created_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (workflow_step_id, attempt, name),
  CHECK (num_nonnulls(content, uri) = 1)
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Append-only: each change of a task's state with the decision behind it, and what an operator did that changes none.
CREATE TABLE tasker_task_transitions (
  task_id            bigint NOT NULL,
  task_transition_id bigint NOT NULL DEFAULT nextval('tasker_transition_ids'),
  from_state         tasker_task_state NOT NULL,
  to_state           tasker_task_state NOT NULL,
  event              tasker_task_event NOT NULL,
  detail             jsonb,
  created_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (task_id, task_transition_id),
  CHECK ((from_state = to_state) = (event IN ('budget_raised', 'compensation_requested')))
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Who reads the transitions as a feed, and how far. The indexes by number that the feed reads along are made with the
-- first row, so that nobody pays for them before. Only the latest reader of a consumer may move its position.
CREATE TABLE tasker_feeds (
  consumer   text PRIMARY KEY CHECK (octet_length(consumer) BETWEEN 1 AND 128),
  position   bigint NOT NULL CHECK (position >= 0),
  reader     bigint NOT NULL DEFAULT 1,
  missed     bigint NOT NULL DEFAULT 0 CHECK (missed >= 0),
  created_at timestamptz NOT NULL DEFAULT now(),
  moved_at   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Tasks that were pruned and whose other rows are still to be deleted, a bounded number at a time.
CREATE TABLE tasker_pruned_tasks (
  task_id bigint PRIMARY KEY
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- By what a task is found that is submitted again: digests, one for each encryption key (docs/idempotency.md). Tasks that were
-- submitted without an identity have no row.
CREATE TABLE tasker_task_identities (
  identity   bytea PRIMARY KEY CHECK (octet_length(identity) = 32),
  task_id    bigint NOT NULL,
  expires_at timestamptz
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Serves: the deletion of tasks.
CREATE INDEX tasker_task_identities_task ON tasker_task_identities (task_id);

-- By when a task has to have ended (docs/deadlines.md). Tasks without a deadline have no row, and say so in `has_deadline`; it is
-- deleted when the deadline has passed, or with the task.
CREATE TABLE tasker_task_deadlines (
  task_id     bigint PRIMARY KEY,
  deadline_at timestamptz NOT NULL
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Serves: heartbeats, and the workers that end what is late.
CREATE INDEX tasker_task_deadlines_due ON tasker_task_deadlines (deadline_at);

-- What a task may use up (docs/budgets.md): attempts of all its steps, and what they spend, in millionths. Tasks without a
-- budget have no row, and say so in `has_budget`; who changes one holds the task. `exhausted`: the limit that kept a step from
-- being started.
CREATE TABLE tasker_task_budgets (
  task_id      bigint PRIMARY KEY,
  max_attempts int CHECK (max_attempts > 0),
  max_cost     bigint CHECK (max_cost >= 0),
  attempts     int NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  spent        bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
  reserved     bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
  exhausted    text CHECK (exhausted IN ('attempts', 'cost')),
  CHECK (num_nonnulls(max_attempts, max_cost) > 0),
  CHECK (attempts <= max_attempts)
) WITH (fillfactor = 50, autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- By when all attempts of a step together have to have ended (docs/failures.md). Steps without such a limit have no row; it is
-- written when the step can be claimed first and deleted when it has ended, when that time has passed, or with the task.
CREATE TABLE tasker_step_deadlines (
  workflow_step_id bigint PRIMARY KEY,
  deadline_at      timestamptz NOT NULL
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Serves: heartbeats, and the workers that end what is late.
CREATE INDEX tasker_step_deadlines_due ON tasker_step_deadlines (deadline_at);

-- How attempts ended whose handlers run in a transaction of the application's (docs/transactions.md). That transaction writes the row, and the one that
-- ends the claim deletes it: nearly always there is none.
CREATE TABLE tasker_recorded_ends (
  workflow_step_id bigint PRIMARY KEY,
  attempt          int NOT NULL CHECK (attempt > 0),
  worker_id        bigint NOT NULL,
  outcome          json NOT NULL,
  recorded_at      timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);

-- What the handlers of steps wait for, or waited for last: a signal that is later than another one, a deadline; and where
-- they had come at their last checkpoint. `data` and `cursor` are what the handler is given back. `moved_in` is the last
-- attempt whose checkpoints got further, `checkpoint_number` grows from each to the next. Steps whose handlers never waited and made no checkpoint have no row.
CREATE TABLE tasker_step_waits (
  workflow_step_id  bigint PRIMARY KEY,
  waits             int NOT NULL CHECK (waits >= 0),
  signal            text CHECK (octet_length(signal) BETWEEN 1 AND 128),
  after_signal_id   bigint NOT NULL,
  deadline          timestamptz,
  data              json,
  cursor            json,
  moved_in          int CHECK (moved_in > 0),
  checkpoint_at     timestamptz,
  checkpoint_number bigint,
  CHECK (waits > 0 OR checkpoint_at IS NOT NULL),
  CHECK ((cursor IS NULL) = (checkpoint_at IS NULL)),
  CHECK ((checkpoint_number IS NULL) = (checkpoint_at IS NULL))
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Serves: signals, which look for the steps of a task that wait for one of that name.
CREATE INDEX tasker_step_waits_signal ON tasker_step_waits ((workflow_step_id >> 20), signal) WHERE signal IS NOT NULL;

-- Signals that were sent to tasks: they are kept as long as their task, whether a step waits for them or not. `received_at`
-- is when one was given to a handler first. Serves: handlers that ask for the first signal of a name.
CREATE TABLE tasker_signals (
  task_id         bigint NOT NULL,
  name            text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 128),
  signal_id       bigint GENERATED ALWAYS AS IDENTITY,
  payload         json NOT NULL,
  actor           text CHECK (octet_length(actor) <= 128),
  idempotency_key text CHECK (octet_length(idempotency_key) BETWEEN 1 AND 256),
  created_at      timestamptz NOT NULL DEFAULT now(),
  received_at     timestamptz,
  PRIMARY KEY (task_id, name, signal_id)
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Serves: signals that are sent again.
CREATE UNIQUE INDEX tasker_signals_key ON tasker_signals (task_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Tasks that steps of other tasks run (docs/subworkflows.md). One that is made anew for the same call has the next generation.
CREATE TABLE tasker_child_tasks (
  task_id        bigint PRIMARY KEY,
  parent_step_id bigint NOT NULL,
  name           text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 100),
  generation     int NOT NULL CHECK (generation > 0),
  depth          int NOT NULL CHECK (depth > 0),
  left_alone     boolean NOT NULL,
  superseded     boolean NOT NULL DEFAULT false,
  UNIQUE (parent_step_id, name, generation)
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Tasks that undo what others did (docs/compensation.md): a task is undone by one other at most.
CREATE TABLE tasker_compensations (
  original_task_id bigint PRIMARY KEY,
  task_id          bigint NOT NULL UNIQUE
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- What the end of a task leaves to be done, each in a transaction of its own: written with the end, deleted when it is done.
CREATE TABLE tasker_follow_ups (
  follow_up_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task_id      bigint NOT NULL,
  kind         tasker_follow_up_kind NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0);

-- Steps that were added while their task ran (docs/decomposition.md, docs/map.md). `step_index` is the position of the prototype
-- in the template; a step that is executed for an item of a list has its number.
CREATE TABLE tasker_added_steps (
  workflow_step_id bigint PRIMARY KEY,
  step_index       int NOT NULL CHECK (step_index BETWEEN 0 AND 1048575),
  name             text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 512),
  item_index       int CHECK (item_index >= 0),
  added_by_step_id bigint NOT NULL,
  added_by_attempt int NOT NULL CHECK (added_by_attempt > 0),
  inputs           json NOT NULL,
  retired          boolean NOT NULL DEFAULT false,
  CHECK (workflow_step_id >> 20 = added_by_step_id >> 20),
  CHECK (workflow_step_id <> added_by_step_id)
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Serves: steps by name, and that a name is given once in a task.
CREATE UNIQUE INDEX tasker_added_steps_name ON tasker_added_steps ((workflow_step_id >> 20), name) WHERE NOT retired;
-- Serves: how many steps of a task are retired.
CREATE INDEX tasker_added_steps_retired ON tasker_added_steps (workflow_step_id) WHERE retired;

-- How many parents a step has whose template does not say so: it was added, or others were added before it, or it is a map
-- step that waits for its items, of which `first_item_id` is the first.
CREATE TABLE tasker_parent_counts (
  workflow_step_id bigint PRIMARY KEY,
  parents          int NOT NULL CHECK (parents >= 0),
  first_item_id    bigint CHECK (first_item_id >> 20 = workflow_step_id >> 20)
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Keys by which several tasks are found that wait for the same signals. Tasks that were submitted without one have no row.
CREATE TABLE tasker_task_correlations (
  correlation_key text NOT NULL CHECK (octet_length(correlation_key) BETWEEN 1 AND 256),
  task_id         bigint NOT NULL,
  PRIMARY KEY (correlation_key, task_id)
) WITH (autovacuum_vacuum_cost_limit = 1000,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

-- Serves: the deletion of tasks, and forks.
CREATE INDEX tasker_task_correlations_task ON tasker_task_correlations (task_id);

-- Where tasks come from that took over what another one had done. Other tasks have no row. The other one may be deleted before.
CREATE TABLE tasker_task_forks (
  task_id     bigint PRIMARY KEY,
  forked_from bigint NOT NULL,
  from_steps  jsonb NOT NULL CHECK (jsonb_typeof(from_steps) = 'array'),
  actor       text NOT NULL CHECK (octet_length(actor) <= 128),
  reason      text CHECK (octet_length(reason) <= 1024),
  created_at  timestamptz NOT NULL DEFAULT now()
);

-- Serves: the forks of a task.
CREATE INDEX tasker_task_forks_from ON tasker_task_forks (forked_from, task_id);

-- Deleting a task by hand deletes everything of it at once. The pruner, which says so, deletes the rest of its
-- tasks later.
CREATE FUNCTION tasker_delete_rows_of_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM tasker_ready_steps WHERE workflow_step_id >= OLD.task_id << 20 AND workflow_step_id < (OLD.task_id + 1) << 20;
  DELETE FROM tasker_workflow_step_edges WHERE from_step_id >= OLD.task_id << 20 AND from_step_id < (OLD.task_id + 1) << 20;
  DELETE FROM tasker_workflow_steps WHERE workflow_step_id >= OLD.task_id << 20 AND workflow_step_id < (OLD.task_id + 1) << 20;
  DELETE FROM tasker_workflow_step_transitions WHERE workflow_step_id >= OLD.task_id << 20 AND workflow_step_id < (OLD.task_id + 1) << 20;
  DELETE FROM tasker_artifacts WHERE workflow_step_id >= OLD.task_id << 20 AND workflow_step_id < (OLD.task_id + 1) << 20;
  DELETE FROM tasker_task_transitions WHERE task_id = OLD.task_id;
  DELETE FROM tasker_task_identities WHERE task_id = OLD.task_id;
  DELETE FROM tasker_task_deadlines WHERE task_id = OLD.task_id;
  DELETE FROM tasker_task_budgets WHERE task_id = OLD.task_id;
  DELETE FROM tasker_step_deadlines WHERE workflow_step_id >= OLD.task_id << 20 AND workflow_step_id < (OLD.task_id + 1) << 20;
  DELETE FROM tasker_recorded_ends WHERE workflow_step_id >= OLD.task_id << 20 AND workflow_step_id < (OLD.task_id + 1) << 20;
  DELETE FROM tasker_step_waits WHERE workflow_step_id >= OLD.task_id << 20 AND workflow_step_id < (OLD.task_id + 1) << 20;
  DELETE FROM tasker_signals WHERE task_id = OLD.task_id;
  DELETE FROM tasker_child_tasks WHERE task_id = OLD.task_id;
  DELETE FROM tasker_compensations WHERE original_task_id = OLD.task_id;
  DELETE FROM tasker_added_steps WHERE workflow_step_id >= OLD.task_id << 20 AND workflow_step_id < (OLD.task_id + 1) << 20;
  DELETE FROM tasker_parent_counts WHERE workflow_step_id >= OLD.task_id << 20 AND workflow_step_id < (OLD.task_id + 1) << 20;
  DELETE FROM tasker_task_correlations WHERE task_id = OLD.task_id;
  DELETE FROM tasker_task_forks WHERE task_id = OLD.task_id;
  RETURN OLD;
END
$$;

CREATE TRIGGER tasker_delete_rows_of_task AFTER DELETE ON tasker_tasks
  FOR EACH ROW WHEN (coalesce(current_setting('tasker.pruning', true), '') <> 'on')
  EXECUTE FUNCTION tasker_delete_rows_of_task();

COMMENT ON TABLE tasker_tasks IS 'tasker_core schema 1';

-- What reports and other programs read (docs/reporting.md): their names and columns stay as they are. They tell of tasks that
-- were not deleted, and ask look-ups alone for one task. What is in a subquery is not read by who does not select it.

CREATE VIEW tasker_task_overview AS
SELECT t.task_id, n.name AS namespace, k.name AS template, k.version, t.state, t.priority,
       t.total_steps - (SELECT count(*)::int FROM tasker_added_steps a
                        WHERE a.retired AND a.workflow_step_id >= (t.task_id << 20)
                          AND a.workflow_step_id < ((t.task_id + 1) << 20)) AS steps_total,
       t.runnable_steps, t.waiting_steps, t.blocked_steps, t.open_failures,
       t.requested_at, t.started_at, t.finished_at,
       (SELECT d.deadline_at FROM tasker_task_deadlines d WHERE d.task_id = t.task_id) AS deadline_at,
       t.initiator, t.source_system, t.reason, t.tags, c.correlation_key,
       (SELECT jsonb_build_object('max_attempts', b.max_attempts, 'attempts', b.attempts, 'max_cost', b.max_cost / 1e6,
                                  'spent', b.spent / 1e6, 'reserved', b.reserved / 1e6, 'exhausted', b.exhausted)
        FROM tasker_task_budgets b WHERE b.task_id = t.task_id) AS budget,
       p.parent_step_id, f.forked_from AS forked_from_id, o.original_task_id AS compensates_id, u.task_id AS compensated_by_id,
       t.context, (t.context ? 'tasker_encrypted' AND t.context - 'tasker_encrypted' = '{}') AS encrypted
FROM tasker_tasks t
JOIN tasker_named_tasks k ON k.named_task_id = t.named_task_id
JOIN tasker_task_namespaces n ON n.task_namespace_id = k.task_namespace_id
LEFT JOIN tasker_task_correlations c ON c.task_id = t.task_id
LEFT JOIN tasker_child_tasks p ON p.task_id = t.task_id
LEFT JOIN tasker_task_forks f ON f.task_id = t.task_id
LEFT JOIN tasker_compensations o ON o.task_id = t.task_id
LEFT JOIN tasker_compensations u ON u.original_task_id = t.task_id;

-- Steps as they are, items of map steps too; not those that are retired.
CREATE VIEW tasker_step_overview AS
SELECT s.workflow_step_id AS step_id, t.task_id, n.name AS namespace, k.name AS template, k.version,
       coalesce(a.name, d.name) AS step_name, d.name AS template_step, a.item_index, d.queue, s.state,
       t.state AS task_state, t.finished_at AS task_finished_at, s.attempts AS attempts_total,
       (SELECT h.created_at FROM tasker_workflow_step_transitions h
        WHERE h.workflow_step_id = s.workflow_step_id
        ORDER BY h.workflow_step_transition_id DESC LIMIT 1) AS changed_at,
       (SELECT h.event FROM tasker_workflow_step_transitions h
        WHERE h.workflow_step_id = s.workflow_step_id
        ORDER BY h.workflow_step_transition_id DESC LIMIT 1) AS event,
       (SELECT r.available_at FROM tasker_ready_steps r WHERE r.workflow_step_id = s.workflow_step_id) AS available_at,
       coalesce((SELECT r.postponed FROM tasker_ready_steps r WHERE r.workflow_step_id = s.workflow_step_id), false) AS postponed,
       (SELECT w.signal FROM tasker_step_waits w
        WHERE w.workflow_step_id = s.workflow_step_id AND s.state = 'waiting') AS signal,
       s.worker_id, s.claimed_at AS started_at,
       (SELECT a.finished_at FROM tasker_attempts a
        WHERE a.workflow_step_id = s.workflow_step_id AND s.state <> 'in_progress'
        ORDER BY a.attempt DESC LIMIT 1) AS finished_at,
       (SELECT a.execution_us / 1000.0::float8 FROM tasker_attempts a
        WHERE a.workflow_step_id = s.workflow_step_id ORDER BY a.attempt DESC LIMIT 1) AS execution_ms,
       (SELECT a.error FROM tasker_attempts a
        WHERE a.workflow_step_id = s.workflow_step_id ORDER BY a.attempt DESC LIMIT 1) AS error,
       s.results, coalesce(s.results::text LIKE '{"tasker\_encrypted":%', false) AS encrypted
FROM tasker_workflow_steps s
JOIN tasker_tasks t ON t.task_id = s.task_id
JOIN tasker_named_tasks k ON k.named_task_id = t.named_task_id
JOIN tasker_task_namespaces n ON n.task_namespace_id = k.task_namespace_id
JOIN tasker_named_steps d ON d.named_step_id = s.named_step_id
LEFT JOIN tasker_added_steps a ON a.workflow_step_id = s.workflow_step_id
WHERE a.retired IS NOT TRUE;

-- The edges between the steps of that view.
CREATE VIEW tasker_edge_overview AS
SELECT t.task_id, e.from_step_id, e.to_step_id,
       (SELECT coalesce(a.name, d.name)
        FROM tasker_workflow_steps s
        JOIN tasker_named_steps d ON d.named_step_id = s.named_step_id
        LEFT JOIN tasker_added_steps a ON a.workflow_step_id = s.workflow_step_id
        WHERE s.workflow_step_id = e.from_step_id) AS from_step_name,
       (SELECT coalesce(a.name, d.name)
        FROM tasker_workflow_steps s
        JOIN tasker_named_steps d ON d.named_step_id = s.named_step_id
        LEFT JOIN tasker_added_steps a ON a.workflow_step_id = s.workflow_step_id
        WHERE s.workflow_step_id = e.to_step_id) AS to_step_name
FROM tasker_workflow_step_edges e
JOIN tasker_tasks t ON t.task_id = e.from_step_id >> 20
  AND e.from_step_id >= (t.task_id << 20) AND e.from_step_id < ((t.task_id + 1) << 20);

-- The attempts that have ended, also of steps that are retired.
CREATE VIEW tasker_attempt_overview AS
SELECT h.workflow_step_transition_id AS transition_id, h.workflow_step_id AS step_id, t.task_id,
       n.name AS namespace, k.name AS template, k.version, coalesce(a.name, d.name) AS step_name, d.name AS template_step,
       d.queue, h.attempt, h.outcome, h.worker_id, h.claimed_at AS started_at, h.created_at AS finished_at,
       h.execution_us / 1000.0::float8 AS execution_ms,
       h.error ->> 'class' AS error_class, h.error ->> 'code' AS error_code, h.error ->> 'message' AS error_message,
       h.error, coalesce(h.error ? 'tasker_encrypted', false) AS encrypted
FROM tasker_workflow_step_transitions h
JOIN tasker_workflow_steps s ON s.workflow_step_id = h.workflow_step_id
JOIN tasker_tasks t ON t.task_id = s.task_id
JOIN tasker_named_tasks k ON k.named_task_id = t.named_task_id
JOIN tasker_task_namespaces n ON n.task_namespace_id = k.task_namespace_id
JOIN tasker_named_steps d ON d.named_step_id = s.named_step_id
LEFT JOIN tasker_added_steps a ON a.workflow_step_id = s.workflow_step_id
WHERE h.outcome IS NOT NULL;

-- Each change of state, of tasks and of steps, also of those that are retired.
CREATE VIEW tasker_transition_overview AS
SELECT x.task_transition_id AS transition_id, t.task_id, NULL::bigint AS step_id,
       n.name AS namespace, k.name AS template, k.version, NULL::text AS step_name, NULL::text AS template_step,
       x.from_state::text AS from_state, x.to_state::text AS to_state, x.event::text AS event,
       NULL::int AS attempt, NULL::bigint AS worker_id, x.created_at, x.detail
FROM tasker_task_transitions x
JOIN tasker_tasks t ON t.task_id = x.task_id
JOIN tasker_named_tasks k ON k.named_task_id = t.named_task_id
JOIN tasker_task_namespaces n ON n.task_namespace_id = k.task_namespace_id
UNION ALL
SELECT h.workflow_step_transition_id, t.task_id, h.workflow_step_id,
       n.name, k.name, k.version, coalesce(a.name, d.name), d.name,
       h.from_state::text, h.to_state::text, h.event::text,
       h.attempt, h.worker_id, h.created_at, h.detail
FROM tasker_workflow_step_transitions h
JOIN tasker_workflow_steps s ON s.workflow_step_id = h.workflow_step_id
JOIN tasker_tasks t ON t.task_id = s.task_id
JOIN tasker_named_tasks k ON k.named_task_id = t.named_task_id
JOIN tasker_task_namespaces n ON n.task_namespace_id = k.task_namespace_id
JOIN tasker_named_steps d ON d.named_step_id = s.named_step_id
LEFT JOIN tasker_added_steps a ON a.workflow_step_id = s.workflow_step_id;
