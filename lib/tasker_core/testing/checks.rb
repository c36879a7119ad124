# frozen_string_literal: true

require "json"
require_relative "../errors"
require_relative "../internal/check"
require_relative "picture"
require_relative "submissions"

module TaskerCore
  module Testing
    # What the matchers of RSpec and the assertions of Minitest look at. Each answers {#fault}: nil where it holds, else
    # what is wrong, with the state of the graph.
    module Checks
      # Of a task: its id, or whatever has a `task_id`.
      class OfTask
        # @param task [Integer, #task_id]
        # @return [String, nil]
        def fault(task)
          wrong = wrong_with(TaskerCore.result(id_of(task)))
          wrong && "#{wrong}\n#{seen(task)}"
        end

        # @param task [Integer, #task_id]
        # @return [String] the state of its graph
        def seen(task)
          Picture.of(id_of(task))
        end

        private

        def id_of(task)
          task.respond_to?(:task_id) ? task.task_id : Internal::Check.id(task)
        end
      end

      # The task is complete, perhaps with these results of steps.
      class Complete < OfTask
        # @param results [Hash{String, Symbol => Object}] by step; anything that answers `===`
        def initialize(results = {})
          super()
          @results = results.transform_keys(&:to_s)
        end

        # @return [String]
        def description
          "complete"
        end

        private

        def wrong_with(result)
          return "expected the task to be complete, it is #{result.state}" unless result.complete?

          name, expected = @results.find { |step, wanted| !Checks.same?(wanted, result.results_of(step)) }
          return unless name

          "expected #{name} to have returned #{Checks.shown(expected)}, it returned #{result.results_of(name).inspect}"
        end
      end

      # These steps were executed, perhaps in this order, perhaps no others.
      class RunSteps < OfTask
        def initialize(names, in_order: false, only: false)
          super()
          @names = names.flatten.map(&:to_s)
          @in_order = in_order
          @only = only
        end

        # @return [String]
        def description
          "have run steps #{@names.join(", ")}#{" in this order" if @in_order}#{" and no others" if @only}"
        end

        private

        def wrong_with(result)
          @names.each { |name| result.step(name) }
          ran = result.steps.select(&:started_at).sort_by(&:started_at).map(&:name)
          [missing(@names - ran), surplus(ran - @names), misplaced(ran & @names)].compact.first
        end

        def missing(names)
          "expected #{names.join(", ")} to have run" if names.any?
        end

        def surplus(names)
          return if !@only || names.empty?

          "expected no steps to have run but #{@names.join(", ")}; also ran: #{names.join(", ")}"
        end

        def misplaced(order)
          return if !@in_order || order == @names.uniq

          "expected the order #{@names.join(", ")}; they began as #{order.join(", ")}"
        end
      end

      # The step was tried again, perhaps so many times.
      class RetryStep < OfTask
        def initialize(name, times: nil)
          super()
          @name = name.to_s
          @times = times && Internal::Check.count(times, "times")
        end

        # @return [String]
        def description
          "retry step #{@name}#{" #{@times} times" if @times}"
        end

        private

        def wrong_with(result)
          again = [result.step(@name).attempts - 1, 0].max
          return if @times ? again == @times : again.positive?

          "expected #{@name} to have been tried again#{" #{@times} times" if @times}, it was #{again} times"
        end
      end

      # A step waits for a signal (of this name), a time, or a person.
      class WaitingFor < OfTask
        # What can be waited for.
        KINDS = %w[signal time person].freeze

        def initialize(kind, name = nil)
          super()
          @kind = Internal::Check.choice(kind, "kind", KINDS) || Internal::Check.refuse("kind", kind, KINDS.join(", "))
          @name = name&.to_s
        end

        # @return [String]
        def description
          "be waiting for #{@kind == "signal" ? "the signal #{@name || "of any name"}" : "a #{@kind}"}"
        end

        private

        def wrong_with(result)
          waits = result.steps.flat_map { |step| waits_of(result.task_id, step) }
          return if waits.any? { |wait| wanted?(*wait) }

          found = waits.any? ? waits.map { |wait| wait.compact.join(" ") }.join(", ") : "nothing"
          "expected the task to #{description}; it waits for #{found}"
        end

        def wanted?(kind, name = nil)
          kind == @kind && (@name.nil? || name == @name)
        end

        def waits_of(task_id, step)
          return [%w[person]] if step.state == "blocked"
          return [] unless step.state == "waiting"

          last = TaskerCore.explain(task_id, step: step.name)["steps"].first["history"].last
          signal, till = last["detail"].to_h.values_at("signal", "until")
          [(["signal", signal] if signal), (["time"] if till && !signal)].compact
        end
      end

      # Tasks of a template were submitted, perhaps with this context, perhaps so many.
      class Enqueued
        def initialize(name, context: nil, times: nil)
          @name = name.to_s
          @context = context
          @times = times && Internal::Check.count(times, "times")
        end

        # @return [String]
        def description
          "enqueue a task #{@name}"
        end

        # @yield what is to submit them
        # @return [String, nil]
        def fault
          before = Testing.submitted.size
          yield
          @submitted = Submissions.all.drop(before)
          found = @submitted.count { |one| wanted?(one) }
          return if @times ? found == @times : found.positive?

          "expected #{[@times, @name].compact.join(" times ")} to be submitted" \
            "#{" with #{Checks.shown(@context)}" if @context}; #{seen}"
        end

        # @return [String] what the block has submitted
        def seen
          return "none was" if @submitted.empty?

          "submitted were:\n#{@submitted.map { |one| "  #{one.name} #{JSON.generate(one.context)}" }.join("\n")}"
        end

        private

        def wanted?(submitted)
          submitted.name == @name && (@context.nil? || Checks.same?(@context, submitted.context))
        end
      end

      # Hashes are compared as JSON, so that symbols are text and records their global ids; all else decides by itself.
      #
      # @api private
      def self.same?(expected, actual)
        return expected === actual unless plain?(expected) # rubocop:disable Style/CaseEquality -- matchers and patterns

        written = Internal::GlobalIds.written([expected], Internal::JsonText::MAX_DEPTH)
        JSON.parse(JSON.generate(written, max_nesting: 0), max_nesting: false) == [actual]
      end

      # What is expected, in a message: matchers describe themselves.
      #
      # @api private
      def self.shown(expected)
        expected.respond_to?(:matches?) && expected.respond_to?(:description) ? expected.description : expected.inspect
      end

      # @api private
      def self.plain?(value)
        case value
        when Hash then value.each_value.all? { |inner| plain?(inner) }
        when Array then value.all? { |inner| plain?(inner) }
        when String, Symbol, Numeric, nil, true, false then true
        else Internal::GlobalIds.record?(value)
        end
      end
    end
  end
end
