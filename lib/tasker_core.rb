# frozen_string_literal: true

require_relative "tasker_core/version"
require_relative "tasker_core/errors"
require_relative "tasker_core/step_handler/errors"
require_relative "tasker_core/internal/bridge"
require_relative "tasker_core/configuration"
require_relative "tasker_core/database"
require_relative "tasker_core/step_handler/base"
require_relative "tasker_core/step_handler/api"
require_relative "tasker_core/step_handler/approval"
require_relative "tasker_core/step_handler/workflow"
require_relative "tasker_core/handler_registry"
require_relative "tasker_core/task"
require_relative "tasker_core/step"
require_relative "tasker_core/sequence"
require_relative "tasker_core/task_template"
require_relative "tasker_core/template_dsl"
require_relative "tasker_core/task_status"
require_relative "tasker_core/task_result"
require_relative "tasker_core/step_failure"
require_relative "tasker_core/bulk_report"
require_relative "tasker_core/event"
require_relative "tasker_core/subscription"
require_relative "tasker_core/recorded_event"
require_relative "tasker_core/feed"
require_relative "tasker_core/artifact"
require_relative "tasker_core/client"
require_relative "tasker_core/operations"
require_relative "tasker_core/schema"
require_relative "tasker_core/worker"
require_relative "tasker_core/internal/instrumentation"
require_relative "tasker_core/internal/subscriptions"
require_relative "tasker_core/internal/template_loader"
require_relative "tasker_core/internal/templates"
require_relative "tasker_core/jobs"

# Durable workflows, directed acyclic graphs of steps, on the Postgres that an application already has.
#
# The methods here work with the templates of this process and with the database that the configuration names.
# Loading the library starts nothing: no thread, no connection.
#
# @example
#   require "tasker_core"
#
#   class Greet < TaskerCore::StepHandler::Base
#     def process(task, _sequence, _step)
#       { "greeting" => "Hello, #{task.context["name"]}" }
#     end
#   end
#
#   TaskerCore.define("greeting") { step "greet", handler: Greet }
#   task_id = TaskerCore.submit("greeting", context: { name: "Ada" })
#   worker = TaskerCore::Worker.new.start
#   TaskerCore.wait(task_id, timeout: 10)
#   TaskerCore.result(task_id).results_of("greet") # => { "greeting" => "Hello, Ada" }
#   worker.stop
#   worker.wait
module TaskerCore # rubocop:disable Metrics/ModuleLength -- one line for each method of the client
  @lock = Mutex.new
  @registry = Internal::Templates.new
  @subscriptions = Internal::Subscriptions.new
  @configuration = @client = nil

  class << self
    # @api private
    # @return [Internal::Templates] templates that this process has loaded
    attr_reader :registry

    # @api private
    # @return [Internal::Subscriptions] who wants to be told what
    attr_reader :subscriptions

    # Changes settings. The connection that was in use, if any, is closed.
    #
    # @yieldparam configuration [Configuration] a copy of the settings in force
    # @return [Configuration] the new settings, frozen
    # @raise [ConfigurationError] a value that is not allowed; nothing is changed
    # @example
    #   TaskerCore.configure { |c| c.database_url = "postgres:///shop" }
    def configure(&block)
      @lock.synchronize do
        @configuration = (@configuration || Configuration.new).with(&block)
        @client&.close
        @client = nil
        @configuration
      end
    end

    # @return [Configuration] the settings in force, frozen
    def configuration
      @configuration || @lock.synchronize { @configuration ||= Configuration.new.with }
    end

    # The client that the methods below use. May be shared by threads, and used after a fork.
    #
    # @return [Client]
    # @example
    #   TaskerCore.client.schema_version # => 1
    def client
      settings = configuration
      @client || @lock.synchronize { @client ||= Client.new(settings) }
    end

    # Loads templates from YAML files, all or none, and finds their handler classes. They are recorded in the database
    # with the first {submit} or when a worker starts.
    #
    # @param paths [Array<String>] files, folders (their *.yaml and *.yml files, at any depth) or patterns
    # @return [Array<TaskTemplate>]
    # @raise [InvalidArgument] a path or pattern matches no file
    # @raise [InvalidTemplate] a file is not understood; the message begins with its path
    # @raise [HandlerNotFound] names file, step and class
    # @raise [TemplateConflict] two definitions have the same namespace, name and version
    # @example
    #   TaskerCore.load_templates("config/tasker/*.yaml")
    def load_templates(*paths)
      templates = Internal::TemplateLoader.new(environment: configuration.environment).load(paths)
      registry.add(templates)
      templates
    end

    # Defines a template in Ruby. The same structure as from YAML.
    #
    # @param name [String] of the template
    # @param options [Hash{Symbol => Object}] namespace (default "default"), version (default "0.1.0"), description,
    #   schema (a JSON Schema for contexts), queue (default "default"), deadline (seconds from its submit in which a
    #   task has to end, default none), priority (of its tasks, default 0), error_classes (exception classes or their
    #   names => "retryable", "permanent" or "blocked")
    # @yield [] calls {TemplateDSL#step}; a block with a parameter gets the {TemplateDSL} instead of becoming part of it
    # @return [TaskTemplate, nil] nil: its handlers are missing, in a file of a Rails application's config/tasker; it is
    #   set aside, and what else the file defines is not
    # @raise [InvalidTemplate] the message begins with file and line of the call
    # @raise [HandlerNotFound] anywhere else
    # @raise [TemplateConflict]
    # @example
    #   TaskerCore.define("order_fulfilment", version: "1.0.0") do
    #     step "validate_order", handler: ValidateOrder
    #     step "charge_card", handler: ChargeCard, depends_on: "validate_order", retry_limit: 5
    #   end
    def define(name, **options, &block)
      place = caller_locations(1, 1).first
      template = TemplateDSL.template(name, source: "#{place.path}:#{place.lineno}", **options, &block)
      HandlerRegistry.check(template)
      registry.add([template])
      template
    rescue HandlerNotFound => e
      raise unless registry.settling?

      registry.set_aside(e.details["file"], e)
    end

    # @return [Array<TaskTemplate>] templates that this process has loaded, in that order
    def templates
      registry.all
    end

    # Has the block called with the events of this process: what its workers commit while they run, and the
    # cancellations that it asks for meanwhile. Each worker calls it from one thread, for each task in the order of the
    # commits; workers do not wait for it. See docs/events.md.
    #
    # @param patterns [Array<String>] names of events, "step.*", "task.*", "worker.*" or "*". Default: "*".
    # @yieldparam event [Event] what the block raises is logged
    # @return [Subscription] for {unsubscribe}
    # @raise [InvalidArgument] a pattern matches no event; or no block
    # @example
    #   TaskerCore.subscribe("task.failed", "task.completed") { |event| Metrics.count(event.name, event.template.name) }
    def subscribe(*patterns, &block)
      subscriptions.add(Subscription.new(patterns.empty? ? ["*"] : patterns, &block))
    end

    # Passes the events of this process on, as {subscribe} tells them: to ActiveSupport::Notifications, as
    # "step.succeeded.tasker_core" and so on, or to a publisher of dry-events, where they are registered under their own
    # names. The payload is {Event#to_h} with the event itself as `event`.
    #
    # @param target [#instrument, #publish] ActiveSupport::Notifications, or an instance of a publisher
    # @param patterns [Array<String>] as for {subscribe}. Default: "*".
    # @return [Subscription] for {unsubscribe}
    # @raise [InvalidArgument] the target is neither, or a pattern matches no event
    # @example
    #   TaskerCore.instrument_with(ActiveSupport::Notifications)
    #   ActiveSupport::Notifications.subscribe("task.failed.tasker_core") { |*, payload| warn(payload[:task_id]) }
    def instrument_with(target, *patterns)
      subscribe(*patterns, &Internal::Instrumentation.new(target).method(:call))
    end

    # Ends a subscription. A call of its block that is going on goes on.
    #
    # @param subscription [Subscription]
    # @return [Boolean] whether it was one
    # @example
    #   subscription = TaskerCore.subscribe { |event| puts event.name }
    #   TaskerCore.unsubscribe(subscription) # => true
    def unsubscribe(subscription)
      subscriptions.remove(subscription)
    end

    # All changes of state of the database, of all processes, without a gap: a {Feed}. With a block it gives them out
    # until the block is left, or nothing can be given out any more.
    #
    # @param consumer [String, nil] whose position the database keeps
    # @param options [Hash{Symbol => Object}] from, events: see {Feed#initialize}; size, follow, waiting: see
    #   {Feed#each_batch}
    # @yieldparam events [Array<RecordedEvent>] at least one
    # @yieldparam cursor [Integer] to go on from after these
    # @return [Feed]
    # @raise [InvalidArgument]
    # @raise [FeedTaken]
    # @example
    #   TaskerCore.feed("billing", from: :beginning) { |events| events.each { |event| book(event) } }
    def feed(consumer = nil, from: :now, events: [], **options, &block)
      feed = client.feed(consumer, from: from, events: events)
      feed.each_batch(**options, &block) if block
      feed
    end

    # Makes a task. See {Client#submit}.
    #
    # @yieldparam task_id [Integer] called when the task was there already
    # @return [Integer, nil] the task's id; nil: it is submitted later, by `after_commit`
    # @example
    #   TaskerCore.submit("order_fulfilment", context: { order_id: 42 }, idempotency_key: "order-42") # => 1
    def submit(name, context: {}, **options, &existing)
      client.submit(name, context: context, **options, &existing)
    end

    # Makes many tasks, all or none. See {Client#submit_all}.
    #
    # @return [Array<Integer>, nil] the tasks' ids; nil: they are submitted later, by `after_commit`
    # @example
    #   TaskerCore.submit_all("reindex", contexts: [{ id: 1 }, { id: 2 }]) # => [2, 3]
    def submit_all(name, contexts:, **options)
      client.submit_all(name, contexts: contexts, **options)
    end

    # How far a task is. See {Client#status}.
    #
    # @return [TaskStatus]
    # @example
    #   TaskerCore.status(1).complete? # => false
    def status(task_id)
      client.status(task_id)
    end

    # What a task's steps produced. See {Client#result}.
    #
    # @return [TaskResult]
    # @example
    #   TaskerCore.result(1).results_of("charge_card")
    def result(task_id, step: nil)
      client.result(task_id, step: step)
    end

    # A part of the items of a map step. See {Client#items}.
    #
    # @return [Array<Item>]
    # @example
    #   TaskerCore.items(1, "resize", after: 999, limit: 500)
    def items(task_id, step, after: nil, limit: 1_000)
      client.items(task_id, step, after: after, limit: limit)
    end

    # All items of a map step, read in parts. See {Client#each_item}.
    #
    # @return [Enumerator, nil]
    # @example
    #   TaskerCore.each_item(1, "resize").count { |item| item.state == "error" }
    def each_item(task_id, step, batch: 1_000, &block)
      client.each_item(task_id, step, batch: batch, &block)
    end

    # What handlers attached to the attempts of a task. See {Client#artifacts}.
    #
    # @return [Array<Artifact>]
    # @example
    #   TaskerCore.artifacts(1, step: "build_report")
    def artifacts(task_id, step: nil)
      client.artifacts(task_id, step: step)
    end

    # Ends a task. See {Client#cancel}.
    #
    # @return [TaskStatus]
    # @example
    #   TaskerCore.cancel(1, actor: "support", reason: "customer withdrew")
    def cancel(task_id, actor: nil, reason: nil)
      client.cancel(task_id, actor: actor, reason: reason)
    end

    # Keeps the steps of a task from being started. See {Client#pause}.
    #
    # @return [TaskStatus]
    # @example
    #   TaskerCore.pause(1, actor: "support", reason: "the bank is down")
    def pause(task_id, actor: nil, reason: nil)
      client.pause(task_id, actor: actor, reason: reason)
    end

    # Lets a paused task go on. See {Client#resume}.
    #
    # @return [TaskStatus]
    # @example
    #   TaskerCore.resume(1, actor: "support", reason: "the bank is back")
    def resume(task_id, actor: nil, reason: nil)
      client.resume(task_id, actor: actor, reason: reason)
    end

    # Has the steps of a task tried again that are in error or blocked, or one of them. See {Client#retry}.
    #
    # @return [TaskStatus]
    # @example
    #   TaskerCore.retry(1, step: "charge_card", actor: "support", reason: "the bank is back")
    def retry(task_id, step: nil, actor: nil, reason: nil)
      client.retry(task_id, step: step, actor: actor, reason: reason)
    end

    # Undoes what a task did that failed or was cancelled. See {Client#compensate}.
    #
    # @return [TaskStatus]
    # @example
    #   TaskerCore.compensate(1, actor: "support", reason: "the customer agreed")
    def compensate(task_id, actor: nil, reason: nil)
      client.compensate(task_id, actor: actor, reason: reason)
    end

    # Leaves a step out. See {Client#skip}.
    #
    # @return [TaskStatus]
    # @example
    #   TaskerCore.skip(1, "send_coupon", actor: "support", reason: "the campaign is over")
    def skip(task_id, step, actor: nil, reason: nil)
      client.skip(task_id, step, actor: actor, reason: reason)
    end

    # Raises the budget of a task. See {Client::Budgets#raise_budget}.
    #
    # @param task_id [Integer]
    # @param options [Hash{Symbol => Object}] keywords of {Client::Budgets#raise_budget}
    # @return [TaskStatus]
    # @example
    #   TaskerCore.raise_budget(1, attempts: 400, reason: "the bank was down")
    def raise_budget(task_id, **options)
      client.raise_budget(task_id, **options)
    end

    # Has a step executed anew, and every step below it. What attempts before did is not undone where the task fails
    # afterwards and is undone: take it back first, or have the handler do so. See {Client#rerun}.
    #
    # @return [TaskStatus]
    # @example
    #   TaskerCore.rerun(1, "enrich", actor: "support", reason: "its data were corrected")
    def rerun(task_id, step, actor: nil, reason: nil)
      client.rerun(task_id, step, actor: actor, reason: reason)
    end

    # Makes a task that takes over what another one has done, but for some steps. See {Client#fork}.
    #
    # @param options [Hash{Symbol => Object}] keywords of {Client#fork}
    # @return [Integer] the fork's id
    # @example
    #   TaskerCore.fork(1, from: "price", context: { rate: 7 }, reason: "what if the rate were 7?")
    def fork(task_id, from:, **options)
      client.fork(task_id, from: from, **options)
    end

    # Gives the results of a step. See {Client#resolve}.
    #
    # @param options [Hash{Symbol => Object}] keywords of {Client#resolve}
    # @return [TaskStatus]
    # @example
    #   TaskerCore.resolve(1, "charge_card", results: { payment_id: "p-7" }, reason: "paid at the counter")
    def resolve(task_id, step, **options)
      client.resolve(task_id, step, **options)
    end

    # Sends a signal to a task. See {Client#signal}.
    #
    # @return [Integer] the signal's id
    # @example
    #   TaskerCore.signal(1, "approved", { by: "mara" })
    def signal(task_id, name, payload = nil, actor: nil, idempotency_key: nil)
      client.signal(task_id, name, payload, actor: actor, idempotency_key: idempotency_key)
    end

    # Sends a signal to every task with a correlation key that has not ended. See {Client#signal_all}.
    #
    # @return [Array<Integer>] the tasks' ids
    # @example
    #   TaskerCore.signal_all("order_paid", { amount: 5 }, key: "order-7") # => [1, 4]
    def signal_all(name, payload = nil, key:, actor: nil, idempotency_key: nil)
      client.signal_all(name, payload, key: key, actor: actor, idempotency_key: idempotency_key)
    end

    # Approves what a step waits for. See {Client#approve}.
    #
    # @return [Integer] the signal's id
    # @example
    #   TaskerCore.approve(1, "manager_approval", by: "mara", comment: "within budget")
    def approve(task_id, step, by:, comment: nil)
      client.approve(task_id, step, by: by, comment: comment)
    end

    # Rejects what a step waits for. See {Client#reject}.
    #
    # @return [Integer] the signal's id
    # @example
    #   TaskerCore.reject(1, "manager_approval", by: "mara", comment: "too expensive")
    def reject(task_id, step, by:, comment: nil)
      client.reject(task_id, step, by: by, comment: comment)
    end

    # Waits until a task is over or blocked. See {Client#wait}.
    #
    # @return [TaskStatus]
    # @example
    #   TaskerCore.wait(1, timeout: 60)
    def wait(task_id, timeout: nil)
      client.wait(task_id, timeout: timeout)
    end

    # In words: what a task waits for, or why it ended. See {Client#explain}.
    #
    # @return [Hash{String => Object}]
    # @example
    #   TaskerCore.explain(1)["summary"]
    #   TaskerCore.explain(1, step: "charge_card")["steps"].first["summary"]
    def explain(task_id, step: nil)
      client.explain(task_id, step: step)
    end

    # The newest tasks. See {Client#list}.
    #
    # @return [Array<TaskStatus>]
    # @example
    #   TaskerCore.list(state: "error")
    def list(**filter)
      client.list(**filter)
    end

    # Deletes tasks that ended long ago. See {Client#prune}.
    #
    # @return [Hash{String => Object}]
    # @example
    #   TaskerCore.prune(older_than: 30 * 86_400)["tasks"] # => 1204
    def prune(**options, &block)
      client.prune(**options, &block)
    end

    # Recomputes every counter and state from scratch and compares, and warns of what makes the engine slow. See
    # {Client#doctor}.
    #
    # @return [Hash{String => Object}]
    # @example
    #   TaskerCore.doctor["ok"] # => true
    def doctor(**options)
      client.doctor(**options)
    end
  end
end

require_relative "tasker_core/engine" if defined?(Rails::Engine)
