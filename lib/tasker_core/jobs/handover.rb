# frozen_string_literal: true

require "json"
require_relative "../step/waits"
require_relative "../step_handler/errors"
require_relative "seal"

module TaskerCore
  module Jobs
    # Hands a step to Active Job, and ends its attempt until the job has said how it ended: by the signal that is named
    # after step and attempt. The attempt after it ends as the job did. A job that says nothing in time is a failure of
    # the step. Executes the steps of handlers with {StepHandler::Executor#executor}, in a worker.
    class Handover
      # Code of a step whose job said nothing in time.
      LOST = "JOB_LOST"
      # Code of a step whose job said what is not understood.
      UNREADABLE = "UNREADABLE_OUTCOME"
      # Seconds until a job counts as lost where nothing else is said.
      DEFAULT_TIMEOUT = 3_600
      # Code of a step that Active Job did not take.
      REFUSED = "JOB_REFUSED"
      # How an attempt may end, and how many texts of JSON tell so.
      ENDS = { "succeed" => 1, "decide" => 2, "grow" => 2, "fail" => 1 }.freeze

      # @param step_id [Integer]
      # @param attempt [Integer] the one that handed the step over
      # @return [String] name of the signal with which its job says how it ended
      # @example
      #   Handover.signal(4_404_019, 1) # => "active_job:4404019:1"
      def self.signal(step_id, attempt)
        "active_job:#{step_id}:#{attempt}"
      end

      # @param options [Hash{Symbol => Object}] queue, priority, timeout
      # @param definition [Hash{String => Object}] the step in a normalised template
      # @param template [Internal::TemplateSteps]
      def initialize(options, definition, template)
        @placing = options.slice(:queue, :priority).compact
        @timeout = options[:timeout] || definition["timeout_seconds"] || DEFAULT_TIMEOUT
        @definition = JSON.generate(definition, max_nesting: false)
        @template = template
      end

      # @param task [Task]
      # @param sequence [Sequence]
      # @param step [Step]
      # @return [void] does not return: the attempt waits, or ends as the job did
      # @raise [RetryableError] the job said nothing in time, or Active Job does not take it
      # @raise [StandardError] what Active Job raises where it does not take the job
      def process(task, sequence, step)
        end_as(outcome_of(step, step.attempt - 1), step) if step.attempt > 1

        hand_over(task, sequence, step)
        end_as([step.wait_for(self.class.signal(step.step_id, step.attempt), timeout: @timeout)], step)
      end

      private

      # In an array, since anybody may send nil; nil where the attempt before handed nothing over, or an operator has
      # the step tried again.
      def outcome_of(step, attempt)
        name = self.class.signal(step.step_id, attempt)
        sent = step.signal(name)
        return [sent.payload] if sent
        return unless step.waited_in_vain?(name)

        raise RetryableError.new("the job that was to execute the step has said nothing for #{@timeout} s",
                                 error_code: LOST)
      end

      def hand_over(task, sequence, step)
        taken = StepJob.set(**@placing).perform_later(item(task, sequence, step), @template.head, @definition)
        return if taken

        raise RetryableError.new("Active Job does not take the job that is to execute the step", error_code: REFUSED)
      end

      # What a worker's own attempt is made of.
      def item(task, sequence, step)
        [step.step_id, task.task_id, step.attempt, step.name, step.waits,
         Seal.close([task.context_json, sequence.parents_json, step.added])]
      end

      def end_as(outcome, step)
        return unless outcome

        said, cost, artifacts = parts_of(outcome.first)
        artifacts.each { |artifact| attach(step, **JSON.parse(artifact, symbolize_names: true)) }
        step.spend(cost) if cost.positive?
        throw Step::Waits::TAG, [said.first.to_sym, *said.drop(1)]
      end

      def attach(step, name:, media_type:, **content)
        step.attach(name, media_type: media_type, **content)
      end

      def parts_of(payload)
        said, cost, artifacts = payload.values_at("said", "cost", "artifacts") if payload.is_a?(Hash)
        texts = [said, artifacts].all? { |list| list.is_a?(Array) && list.all?(String) }
        return [said, cost, artifacts] if texts && ENDS[said.first] == said.size - 1 && cost.is_a?(Numeric)

        raise PermanentError.new("the job's signal does not say how it ended: #{payload.inspect[0, 100]}",
                                 error_code: UNREADABLE)
      end
    end
  end
end
