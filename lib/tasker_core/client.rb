# frozen_string_literal: true

require "json"
require_relative "internal/clock"
require_relative "artifact"
require_relative "client/administration"
require_relative "client/bulk_retry"
require_relative "client/bulk_steering"
require_relative "client/failures"
require_relative "client/feeds"
require_relative "client/forks"
require_relative "client/items"
require_relative "client/rerun"
require_relative "client/signals"
require_relative "client/budgets"
require_relative "client/steering"
require_relative "errors"
require_relative "internal/after_commit"
require_relative "internal/borrowed_connection"
require_relative "internal/check"
require_relative "internal/connection"
require_relative "internal/current_attributes"
require_relative "internal/submission"
require_relative "internal/task_filter"
require_relative "task_result"
require_relative "task_status"

module TaskerCore
  # A connection to one database, for submitting and reading. Connects with the first call; may be shared by threads.
  # After a fork the child connects anew by itself. Most programs use the one behind {TaskerCore.submit},
  # {TaskerCore.status} and so on.
  #
  # Every method that asks the database may raise {DatabaseUnavailable} (within about `connect_timeout`),
  # {SchemaMismatch}, {DatabaseError} and {ConfigurationError} (no database is named).
  #
  # @example
  #   client = TaskerCore::Client.new(TaskerCore::Configuration.new.with { |c| c.database_url = "postgres:///shop" })
  #   task_id = client.submit("order_fulfilment", context: { "order_id" => 42 })
  #   client.wait(task_id, timeout: 60).complete?
  class Client
    # Seconds between the first two looks of {#wait}; each further interval is longer, up to the second number.
    WAIT_INTERVALS = [0.01, 0.5].freeze
    # How much longer.
    WAIT_GROWTH = 1.5

    # Gives a client to the block and closes it afterwards.
    #
    # @param configuration [Configuration]
    # @yieldparam client [Client]
    # @return [Object] what the block returned
    # @example
    #   TaskerCore::Client.open(configuration) { |client| client.schema_version }
    def self.open(configuration = TaskerCore.configuration)
      client = new(configuration)
      yield client
    ensure
      client&.close
    end

    include Administration
    include Feeds
    include Steering
    include Budgets
    include Failures
    include Items
    include BulkSteering
    include BulkRetry
    include Signals
    include Rerun
    include Forks

    # @param configuration [Configuration] Default: the one in force.
    # @param connection [Internal::Connection] not for users. Default: one by the configuration.
    def initialize(configuration = TaskerCore.configuration, connection: Internal::Connection.new(configuration))
      @connection = connection
      @transaction_connection = configuration.transaction_connection
      @current_attributes = configuration.current_attributes
    end

    # Which database this is. Starts the embedded Postgres where that is what is used.
    #
    # @return [String] its URL, with the password if it has one
    # @raise [ConfigurationError]
    # @raise [DatabaseUnavailable]
    # @example
    #   client.url # => "postgres:///shop"
    def url
      @connection.url
    end

    # Makes a task. The template is one that this process has loaded, else one that the database knows.
    #
    # With `idempotency_key` or `unique` there is one task however often it is submitted, and by how many processes: see
    # docs/idempotency.md.
    #
    # With `connection` the task is written in the transaction of that connection, so that both are committed or neither
    # is: see docs/transactions.md.
    #
    # @param name [String] of the template
    # @param context [Hash] what the handlers read as `task.context`; text or symbol keys, and records, whatever has a
    #   global id. Default {}.
    # @param connection [PG::Connection, Object, false, nil] or an Active Record connection, to the database that this
    #   client uses. Default nil: what {Configuration#transaction_connection} brings; false: none, so that the task is
    #   there when this returns
    # @param after_commit [Boolean] once the transactions of Active Record's that are open are committed, not at all
    #   when one is rolled back. Default false.
    # @param options [Hash{Symbol => Object}] as for {#submit_all}, and
    #   idempotency_key [String] 1 to 256 bytes: the task is known by it, among those of all versions of the template;
    #   unique [Boolean] the task is known by its context, among those of this version. Default false;
    #   unique_for [Numeric] seconds after the first submit in which another one counts as the same, at most 100 years.
    #   Default nil: as long as the task is kept;
    #   on_duplicate [Symbol] :return (default) the task that is there, or :raise
    # @yieldparam task_id [Integer] called when the task was there already, with `on_duplicate: :return`
    # @return [Integer, nil] the task's id; nil: it is submitted later, by `after_commit`
    # @raise [DuplicateTask] the task is there already, with `on_duplicate: :raise`
    # @raise [UnknownTemplate]
    # @raise [InvalidContext] not JSON, too large or deep, or against the template's schema; names the key path
    # @raise [InvalidArgument]
    # @example
    #   client.submit("order_fulfilment", context: { order_id: 42 }, initiator: "checkout") # => 1
    # @example the same order, however often the request comes
    #   client.submit("order_fulfilment", context: { order_id: 42 }, idempotency_key: "order-42") do |task_id|
    #     logger.info("order 42 is task #{task_id} already")
    #   end
    def submit(name, context: {}, connection: nil, after_commit: false, **options, &existing)
      submission = Internal::Submission.new(name, [context], **options)
      now_or_committed(after_commit, connection) do
        submitted = request(submission, connection)
        task_id = submitted.fetch("task_ids").first
        existing&.call(task_id) if submitted.fetch("existing")
        task_id
      end
    end

    # Makes many tasks of one template, all or none.
    #
    # @param name [String] of the template
    # @param contexts [Array<Hash>] one for each task
    # @param connection [PG::Connection, Object, false, nil] as for {#submit}
    # @param after_commit [Boolean] as for {#submit}
    # @param options [Hash{Symbol => Object}] may all be left out.
    #   namespace [String] of the template, default "default";
    #   version [String] of the template, default: the highest this process has loaded, else the database's highest;
    #   initiator, source_system, reason [String], for the record;
    #   tags [Array<String>];
    #   budget [Hash] what each task may use up: attempts of all its steps, cost (docs/budgets.md),
    #   correlation_key [String] 1 to 256 bytes: {#signal_all} finds the tasks by it;
    #   priority [Integer] -32768 to 32767: tasks with a lower one are claimed first (docs/priorities.md). Default: the
    #   template's;
    #   deadline [Numeric] seconds from now in which the task has to end, else it is cancelled (docs/deadlines.md), at
    #   most 366 days. Default: the template's
    # @return [Array<Integer>, nil] the tasks' ids, in the order of the contexts; nil: they are submitted later, by
    #   `after_commit`
    # @raise [InvalidArgument] also for what identifies a task, beside several contexts: {#submit} each by itself
    # @raise [Error] as {#submit}
    # @example
    #   client.submit_all("reindex", contexts: ids.map { |id| { id: id } }, tags: ["nightly"])
    def submit_all(name, contexts:, connection: nil, after_commit: false, **options)
      submission = Internal::Submission.new(name, contexts, **options)
      return [] if submission.empty?

      now_or_committed(after_commit, connection) { request(submission, connection).fetch("task_ids") }
    end

    # @param task_id [Integer]
    # @return [TaskStatus]
    # @raise [NotFound]
    # @raise [InvalidArgument] no positive whole number
    # @example
    #   client.status(1).state # => "in_progress"
    def status(task_id)
      id = Internal::Check.id(task_id)
      TaskStatus.new(parse(native.status(id)))
    end

    # @param task_id [Integer]
    # @param step [String, Symbol, nil] name of a step, also of an item of a map step (`resize[7]`): the result has that
    #   one only. Default nil: all of them but items.
    # @return [TaskResult] steps in topological order
    # @raise [NotFound]
    # @raise [InvalidArgument] no positive whole number; the task has no such step
    # @raise [DecryptionError]
    # @example
    #   client.result(1).results_of("charge_card")
    # @example of an item
    #   client.result(1, step: "resize[7]").steps.first.attempts # => 3
    def result(task_id, step: nil)
      id = Internal::Check.id(task_id)
      step = Internal::Check.optional_text(step, "step")
      TaskResult.new(parse(native.result(id, step)))
    end

    # @param task_id [Integer]
    # @param step [String, Symbol, nil] name of a step. Default nil: all of them.
    # @return [Array<Artifact>] what handlers attached to attempts that have ended, by step and attempt; frozen
    # @raise [NotFound]
    # @raise [InvalidArgument] the task has no such step
    # @raise [DecryptionError]
    # @example
    #   client.artifacts(1, step: "build_report").last.json
    def artifacts(task_id, step: nil)
      id = Internal::Check.id(task_id)
      step = Internal::Check.optional_text(step, "step")
      parse(native.artifacts(id, step)).map { |attributes| Artifact.new(attributes) }.freeze
    end

    # Waits until a task is over, or blocked, when nothing can move without a person.
    #
    # @param task_id [Integer]
    # @param timeout [Numeric, nil] seconds; nil waits for ever. Default nil.
    # @return [TaskStatus] {TaskStatus#settled?}
    # @raise [TimeoutError] not so after `timeout`; the task itself is untouched
    # @raise [NotFound]
    # @raise [InvalidArgument]
    # @example
    #   client.wait(task_id, timeout: 60).complete?
    def wait(task_id, timeout: nil)
      deadline = Internal::Check.optional_seconds(timeout, "timeout") && (Internal::Clock.seconds + timeout)
      interval, longest = WAIT_INTERVALS
      until (status = status(task_id)).settled?
        left = deadline ? deadline - Internal::Clock.seconds : longest
        raise timed_out(status, timeout) unless left.positive?

        sleep([interval, left].min)
        interval = [interval * WAIT_GROWTH, longest].min
      end
      status
    end

    # In words, from what was recorded: what a task waits for, or why it ended.
    #
    # @param task_id [Integer]
    # @param step [String, nil] name of a step, for all its attempts and changes. Default nil: the task, and its steps
    #   that are not complete.
    # @return [Hash{String => Object}] task_id, state, summary, steps (the first 20), more_steps (how many
    #   others have not completed), history, signals (that were sent, and that no step waits for or was given); frozen
    # @raise [NotFound]
    # @raise [InvalidArgument] the task has no such step
    # @example
    #   client.explain(1)["summary"]
    def explain(task_id, step: nil)
      id = Internal::Check.id(task_id)
      step = Internal::Check.optional_text(step, "step")
      parse(native.explain(id, step))
    end

    # The newest tasks.
    #
    # @param limit [Integer] most tasks, up to 1,000. Default 20.
    # @param before [Integer, nil] only tasks older than the one with this id: the next page
    # @param filter [Hash{Symbol => Object}] may all be left out.
    #   state [String] only tasks in this state;
    #   name, namespace, version [String] only tasks of such templates;
    #   tags [Array<String>] only tasks that have all of these;
    #   unfinished [Boolean] only tasks that have not ended. Default false;
    #   requested_before [Time] only tasks that were requested before then
    # @return [Array<TaskStatus>] newest first
    # @raise [InvalidArgument]
    # @example
    #   client.list(state: "error", limit: 5).map(&:task_id)
    def list(limit: 20, before: nil, **filter)
      limit = Internal::Check.count(limit, "limit")
      before &&= Internal::Check.id(before, "before")
      json = Internal::TaskFilter.new(**filter).json(limit: limit, before: before)
      parse(native.list(json)).map { |status| TaskStatus.new(status) }
    end

    # @api private
    # @param value [Object] what stands in a row that was read otherwise
    # @param kind [String] context, results or failure
    # @param what [String] its name, for messages
    # @return [Object] the same, decrypted where it is encrypted; frozen then
    # @raise [DecryptionError]
    # @example
    #   client.opened(row["context"], kind: "context", what: "the context of task 1")
    def opened(value, kind:, what:)
      return value unless value.is_a?(Hash) && value.keys == ["tasker_encrypted"]

      parse(native.opened(kind, what, JSON.generate(value)))
    end

    # Ends the connection. A later call connects again.
    #
    # @return [void]
    def close
      @connection.close
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{@connection.inspect}>"
    end

    private

    def native
      @connection.native
    end

    def parse(json)
      JSON.parse(json, freeze: true, max_nesting: false)
    end

    def now_or_committed(after_commit, connection, &submit)
      return yield unless Internal::Check.flag(after_commit, "after_commit")

      Internal::Check.refuse("connection", connection.class, "none beside after_commit") if connection
      Internal::AfterCommit.call(&submit)
    end

    def request(submission, connection)
      borrowed = borrow(connection)
      parse(submit_registered(submission) { |json| borrowed ? borrowed.submit(native, json) : native.submit(json) })
    end

    # The one in whose transaction the tasks are written; nil: in one of their own.
    def borrow(connection)
      connection = @transaction_connection&.call if connection.nil?
      Internal::BorrowedConnection.new(connection) if connection
    end

    # The database may have been emptied since the template was recorded: then it is recorded again, once.
    def submit_registered(submission)
      template = TaskerCore.registry.find(submission.name, namespace: submission.namespace, version: submission.version)
      json = submission.json(version: template&.version,
                             current_attributes: Internal::CurrentAttributes.json(@current_attributes))
      return yield(json) unless template

      begin
        register(template)
        yield(json)
      rescue UnknownTemplate
        @connection.forget_template(template)
        register(template)
        yield(json)
      end
    end

    def timed_out(status, timeout)
      TimeoutError.new("task #{status.task_id} is #{status.state} after #{timeout} s; it goes on",
                       details: { "task_id" => status.task_id, "state" => status.state })
    end
  end
end
