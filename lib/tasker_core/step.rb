# frozen_string_literal: true

require "json"
require_relative "internal/check"
require_relative "internal/json_text"
require_relative "internal/suggestion"
require_relative "step/checkpoints"
require_relative "step/growth"
require_relative "step/polling"
require_relative "step/waits"
require_relative "step/workflows"
require_relative "step_handler/errors"

module TaskerCore
  # The step that a handler executes, in one attempt.
  #
  # @example
  #   def process(task, sequence, step)
  #     Payments.charge(task.context["card"], key: step.idempotency_key, url: step.config["url"])
  #   end
  class Step
    include Waits
    include Polling
    include Checkpoints
    include Workflows
    include Growth

    # Stands for no content, since nil is some.
    NOTHING = Object.new.freeze
    private_constant :NOTHING

    # @return [Integer]
    attr_reader :step_id
    # @return [Integer] number of this attempt, 1 for the first
    attr_reader :attempt
    # What is kept of this attempt when it succeeds. nil until the handler assigns it, or its `process_results` does.
    #
    # @return [Object, nil]
    attr_accessor :results

    alias workflow_step_id step_id

    # @api private
    # @param step_id [Integer]
    # @param attempt [Integer]
    # @param plan [Internal::StepPlan]
    # @param task [Task]
    # @param native [Internal::Bridge::Worker, nil] takes the artifacts, and knows of waits and signals
    def initialize(step_id, attempt, plan, task, native = nil)
      @step_id = step_id
      @attempt = attempt
      @plan = plan
      @task = task
      @native = native
      @added = nil
      @results = nil
      @polls = 0
      @expired = []
      @taken = nil
    end

    # Keeps something beside the results: a report, a log, where a file lies. It belongs to this attempt and is written
    # with its end, whether that succeeds or fails; not where the worker dies. A second one of the same name takes the
    # place of the first.
    #
    # @param name [String, Symbol] at most 128 bytes
    # @param json [Object] what JSON can say, as large as results may be; either this or `uri`
    # @param uri [String] where it lies, at most 2,048 bytes
    # @param media_type [String] at most 128 bytes. Default: "application/json", with `uri` "application/octet-stream".
    # @return [void]
    # @raise [InvalidArgument] neither or both of `json` and `uri`, too long, or the 101st of an attempt
    # @raise [InvalidContext] content that JSON cannot say, or too large
    # @example
    #   step.attach("report", json: { rows: 120, rejected: 3 })
    #   step.attach("invoice", uri: "s3://invoices/7.pdf", media_type: "application/pdf")
    def attach(name, json: NOTHING, uri: nil, media_type: nil)
      name = Internal::Check.text(name, "name")
      uri = Internal::Check.optional_text(uri, "uri")
      raise InvalidArgument, "the artifact #{name} needs either json or uri" if json.equal?(NOTHING) == uri.nil?

      media_type = Internal::Check.optional_text(media_type, "media_type") ||
                   (uri ? "application/octet-stream" : "application/json")
      @native.attach(step_id, attempt, artifact_json({ name: name, media_type: media_type, uri: uri }, json))
    end

    # Spends so much of the budget of the task (docs/budgets.md). What the attempt has spent is written with its end,
    # whether that succeeds or fails; not where others end it, or where the worker dies. Without a budget it counts
    # nowhere.
    #
    # @param cost [Numeric] 0, or from 0.000001, in whatever unit the budget has; kept to millionths
    # @return [Float] what this attempt has spent so far
    # @raise [InvalidArgument]
    # @example
    #   step.spend(answer.tokens * 0.000_02)
    def spend(cost)
      @native.spend(step_id, attempt, Internal::Check.cost(cost, "cost"))
    end

    # @return [String]
    def name
      @added ? @added.first : @plan.name
    end

    # @return [Integer] attempts that ended before this one, 0 in the first
    # @example
    #   use_the_slow_path if step.attempts.positive?
    def attempts
      attempt - 1
    end

    # @return [Integer] how often the step is executed at most
    def retry_limit
      @plan.retry_limit
    end

    # @return [Hash{String => Object}] the template's `handler_config` for this step, frozen; {} where there is none
    def config
      @plan.config
    end

    # @return [Object] what the step was added with, frozen; for any other step the task's context
    # @raise (see Task#context)
    def inputs
      @added ? added_inputs : @task.context
    end

    # @api private
    # @return [Object] the same with what stands in JSON for records; frozen
    def plain_inputs
      @added ? plain_added_inputs : @task.plain_context
    end

    # The same text in every attempt of this step, and in no other step. Pass it to systems that can tell by it that
    # they have done this already.
    #
    # @return [String] for instance "tasker-4404019"
    def idempotency_key
      "tasker-#{step_id}"
    end

    # Takes branches of a decision step, which the template marks with `decides: true`: its branches are the steps that
    # depend on it. For those that are taken the step is complete, for the others it counts as skipped. Further calls
    # add to what is taken. The handler of a decision step calls this in `process` in every attempt that returns; for
    # one that takes nothing, without a name.
    #
    # @param names [Array<String, Symbol>] of steps that depend on this one
    # @return [Array<String>] frozen; the names taken so far, so that they are the results of a handler that ends with
    #   this call
    # @raise [PermanentError] the step does not decide, or has no such branch; code INVALID_DECISION
    # @example
    #   def process(task, sequence, step)
    #     step.take(task.context["express"] ? "ship_by_air" : "ship_by_road")
    #   end
    def take(*names)
      names = names.flatten.map { |name| branch(name) }
      refuse("does not decide; add decides: true to it in the template") unless @plan.decides?
      @taken = [*@taken, *names].uniq.freeze
    end

    # @api private
    # @return [Array<String>, nil] frozen; names of the branches that are taken; nil where the handler did not say
    attr_reader :taken

    # @return [String]
    def inspect
      "#<#{self.class} #{step_id} #{name} attempt=#{attempt}>"
    end

    private

    def artifact_json(attributes, content)
      return JSON.generate(attributes) if content.equal?(NOTHING)

      text = Internal::JsonText.new(symbols: true).generate(content, what: "artifact #{attributes.fetch(:name)}")
      JSON.generate(attributes.compact).sub(/}\z/) { ",\"json\":#{text}}" }
    end

    def branch(name)
      name = name.to_s
      return name if @plan.branch?(name) || !@plan.decides?

      refuse("takes #{name.inspect}, which is not a branch of it; allowed: " \
             "#{@plan.branches.map(&:inspect).join(", ")}#{Internal::Suggestion.sentence(name, @plan.branches)}")
    end

    # What this attempt does in its transaction may be rolled back; what others see at once is not.
    def refuse_in_transaction(problem)
      return unless @plan.transactional?

      raise PermanentError.new("the handler of step #{name.inspect} is transactional: #{problem}",
                               error_code: "TRANSACTIONAL")
    end

    def refuse(problem)
      raise PermanentError.new("step #{name.inspect} #{problem}", error_code: "INVALID_DECISION")
    end
  end
end
