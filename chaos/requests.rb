# frozen_string_literal: true

require_relative "branches"
require_relative "growth"
require_relative "request"

module Chaos
  # How each kind of {Request} is put to the engine.
  class Requests
    # Kinds that are about a step.
    OF_STEPS = %i[retry skip resolve rerun fork].freeze
    # One in so many retries is of all steps of the task.
    ALL = 3
    STEPS = <<~SQL
      SELECT coalesce(a.name, n.name) AS name, s.state
      FROM tasker_workflow_steps s JOIN tasker_named_steps n USING (named_step_id)
      LEFT JOIN tasker_added_steps a USING (workflow_step_id)
      WHERE s.task_id = $1 AND a.retired IS NOT TRUE ORDER BY s.workflow_step_id
    SQL

    # Steps that have failed, of tasks that have, with a tag.
    FAILED = <<~SQL
      SELECT s.workflow_step_id
      FROM tasker_tasks t JOIN tasker_workflow_steps s USING (task_id)
      WHERE t.state = 'error' AND s.state = 'error' AND t.tags @> jsonb_build_array($1::text)
    SQL

    # @param server [Server] asked straight for the states of steps
    # @param random [Random] which step is meant
    def initialize(server, random)
      @server = server
      @random = random
    end

    # Chooses the step that is meant, where the request needs one. A retry is for a step that needs it, if there is
    # one; else for all that will need it, or a wait that is cut short. That of many tasks remembers who needs it.
    #
    # @param task_id [Integer]
    # @param request [Request]
    # @return [Boolean] false: there is nothing to ask for
    def aim(task_id, request)
      request.seen = failed(request.told.fetch(:tag)) if request.kind == :retry_all
      return true unless OF_STEPS.include?(request.kind)
      return true if request.kind == :retry && @random.rand(ALL).zero?

      request.step, request.seen = candidates(task_id, request.kind).sample(random: @random)
      request.told[:take] = take(request.step) if request.kind == :resolve
      !request.step.nil?
    end

    # @param client [TaskerCore::Client]
    # @param task_id [Integer]
    # @param request [Request]
    # @return [Object] what the engine answered
    # @raise [TaskerCore::Error]
    def send_to(client, task_id, request)
      options = { actor: request.actor, reason: "chaos" }
      case request.kind
      when :cancel, :pause, :resume then client.public_send(request.kind, task_id, **options)
      when :skip, :rerun then client.public_send(request.kind, task_id, request.step, **options)
      when :retry then client.retry(task_id, step: request.step, **options)
      when :approve, :reject then decide(client, task_id, request)
      when :raise then client.raise_budget(task_id, **request.told, **options)
      else send(request.kind, client, task_id, request, options)
      end
    end

    private

    # An item is executed anew with its map step.
    def candidates(task_id, kind)
      steps = @server.rows(STEPS, [task_id]).map(&:values)
      steps.reject! { |name, _| Growth.item?(name) } if kind == :rerun
      failed = kind == :retry ? steps.select { |_, state| state == "error" } : []
      failed.any? ? failed : steps
    end

    def failed(tag)
      @server.rows(FAILED, [tag]).map { |row| row["workflow_step_id"].to_i }
    end

    def take(step)
      Branches::DECISIONS[step]&.select { @random.rand(2).zero? }
    end

    def resolve(client, task_id, request, options)
      client.resolve(task_id, request.step, results: { "by" => request.actor }, take: request.told[:take], **options)
    end

    # It is answered where all that were meant have ended.
    def expire(client, _task_id, request, options)
      report = client.expire(older_than: request.told.fetch(:older_than), name: Stale::TEMPLATE,
                             namespace: Graphs::NAMESPACE, **options)
      report if report.ok?
    end

    # As {#expire}.
    def retry_all(client, _task_id, request, options)
      report = client.retry_all(tags: [request.told.fetch(:tag)], namespace: Graphs::NAMESPACE, **options)
      report if report.ok?
    end

    def signal_all(client, _task_id, request, _options)
      number = request.told.fetch(:number)
      options = { key: request.told.fetch(:correlation), actor: request.actor, idempotency_key: "all #{number}" }
      client.signal_all(request.told.fetch(:name), { "number" => number }, **options)
    end

    # The context says which key it is, and that there is no deadline, for the check.
    def fork(client, task_id, request, options)
      key = request.told.fetch(:key)
      client.fork(task_id, from: request.step, idempotency_key: key, context: { "key" => key, "deadline" => nil },
                           **options)
    end

    def decide(client, task_id, request)
      client.public_send(request.kind, task_id, Approval::STEP, by: request.actor, comment: "chaos")
    end

    def signal(client, task_id, request, _options)
      client.signal(task_id, request.told.fetch(:name), { "number" => request.told.fetch(:number) },
                    actor: request.actor, idempotency_key: request.told[:key])
    end
  end
end
