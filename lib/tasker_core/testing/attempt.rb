# frozen_string_literal: true

require "json"
require "logger"
require_relative "../errors"
require_relative "../internal/check"
require_relative "../internal/json_text"
require_relative "../internal/step_runner"
require_relative "../internal/step_transactions"
require_relative "../task_template"
require_relative "executors"
require_relative "inline/nested_connection"
require_relative "surroundings"

module TaskerCore
  module Testing
    # How one attempt of a handler ended that {Testing.run_step} executed. Frozen.
    #
    # @example
    #   attempt = TaskerCore::Testing.run_step(ChargeCard, context: { "card" => "expired" })
    #   [attempt.state, attempt.error["code"]] # => ["error", "CARD_EXPIRED"]
    class Attempt
      # State by how an attempt ends that is no failure.
      STATES = { succeed: "complete", decide: "complete", grow: "complete", wait: "waiting" }.freeze
      # Name of the template around a handler that is given as a class.
      TEMPLATE = "tested"
      # What can be said of the attempt itself.
      DEFAULTS = { attempt: 1, inputs: nil, item: nil, item_index: 0 }.freeze
      # What can be said of a step whose handler is given as a class.
      OF_CLASS = { config: nil, branches: [].freeze, retry_limit: nil }.freeze
      # What else {Testing.run_step} takes.
      OF_ALL = %i[of context results].freeze
      private_constant :STATES, :TEMPLATE, :DEFAULTS, :OF_CLASS, :OF_ALL

      # @return [String] what the step's state would be: complete, waiting, waiting_for_retry, blocked or error
      attr_reader :state
      # @return [Object, nil] what would be kept, as the steps below would read it; frozen
      attr_reader :results
      # @return [Hash{String => Object}, nil] kind, class, message, code, retry_after_s, context, backtrace, causes; nil
      #   where it did not fail
      attr_reader :error
      # @return [Array<String>, nil] branches that a decision step takes
      attr_reader :taken
      # @return [Array<Hash{String => Object}>] steps that it adds: name, like, inputs, depends_on, before
      attr_reader :added
      # @return [Hash{String => Object}, nil] what it waits for: signal, after_s or at_us, data, poll; nil where it does
      #   not
      attr_reader :waits_for
      # @return [Array<Hash{String => Object}>] what it attached: name, media_type, json or uri
      attr_reader :artifacts
      # @return [Array<Hash{String => Object}>] cursor and data of its checkpoints
      attr_reader :checkpoints
      # @return [Float] what it spent
      attr_reader :spent

      # @api private
      # @return [Attempt]
      def self.of(handler, of:, context:, results:, **options)
        known = [DEFAULTS, Surroundings::DEFAULTS, (OF_CLASS if handler.is_a?(Class))].compact.inject(:merge)
        Internal::Check.keywords(options, known.keys, OF_ALL)
        template = template_of(handler, of, results.keys, options)
        index = index_of(template, handler)
        step = template.steps.fetch(index)
        around = Surroundings.new(template, step, results: results, **options.slice(*Surroundings::DEFAULTS.keys))
        new(step, index, around, context: context, **DEFAULTS.merge(options.slice(*DEFAULTS.keys)))
      end

      class << self
        private

        def template_of(handler, of, parents, options)
          return around(handler, parents, **OF_CLASS.merge(options.slice(*OF_CLASS.keys))) if handler.is_a?(Class)
          return of if of.is_a?(TaskTemplate)

          of = Internal::Check.text(of, "of")
          TaskerCore.registry.named(of) ||
            Internal::Check.refuse("of", of, "the name of a template that is loaded: " \
                                             "#{TaskerCore.templates.map(&:name).uniq.sort.join(", ")}")
        end

        def around(handler, parents, config:, branches:, retry_limit:)
          name = handler.name || Internal::Check.refuse("handler", handler, "a class with a name")
          step = { name: TEMPLATE, handler_class: name, handler_config: config, decides: branches.any?,
                   default_retry_limit: retry_limit, depends_on_steps: parents.map(&:to_s) }.compact
          others = parents.map { |parent| { name: parent.to_s, handler_class: name } } +
                   branches.map { |branch| { name: branch.to_s, handler_class: name, depends_on_step: TEMPLATE } }
          TaskTemplate.new({ name: TEMPLATE, step_templates: [step, *others] }, source: "run_step of #{name}")
        end

        def index_of(template, handler)
          return 0 if handler.is_a?(Class)

          template.step_names.index(handler.to_s) ||
            Internal::Check.refuse("step", handler.to_s, "a step of #{template}: #{template.step_names.join(", ")}")
        end
      end

      # @api private
      def initialize(step, index, around, context:, attempt:, inputs:, item:, item_index:) # rubocop:disable Metrics/ParameterLists -- what an attempt is given
        @step = step
        given = [Surroundings::ID, Surroundings::ID, Internal::Check.count(attempt, "attempt"), Surroundings::ID, index,
                 text(context, "context"), around.parents, added_by(inputs, item, item_index)]
        runner(around).run(given)
        @artifacts = around.artifacts.freeze
        @checkpoints = around.checkpoints.freeze
        @spent = around.spent
        @added = [].freeze
        take(around.ended, attempt)
        freeze
      end

      # @return [Boolean]
      def complete?
        state == "complete"
      end

      # @return [String]
      def inspect
        more = error ? " #{error["class"]}: #{error["message"]}" : ""
        "#<#{self.class} of #{@step.fetch("name")} #{state}#{more}>"
      end

      private

      def runner(around)
        Internal::StepRunner.new(around, TaskerCore.configuration, logger: Logger.new(nil),
                                                                   transaction_connection: method(:connection))
      end

      # A transactional handler has a transaction of its own within the one of the test.
      def connection
        connection = Internal::StepTransactions.connection(TaskerCore.configuration.transaction_connection)
        Inline::NestedConnection.new(connection) if connection
      end

      def text(value, what)
        Internal::JsonText.new(symbols: true, records: true).generate(value, what: what)
      end

      # What a step is given that was added, or that is executed for an item.
      def added_by(inputs, item, index)
        name = @step.fetch("name")
        return ["#{name}[#{index}]", text(item, "item"), index] unless item.nil?

        [name, text(inputs, "inputs"), nil] unless inputs.nil?
      end

      def take(ended, attempt)
        how, said = ended.values_at(:how, :said)
        first, second = said.map { |json| JSON.parse(json, freeze: true, max_nesting: false) }
        @state = STATES.fetch(how) { failed(first, attempt) }
        case how
        when :wait then @waits_for = first
        when :fail then @error = first
        else @results = first
        end
        @taken = second if how == :decide
        @added = second if how == :grow
      end

      def failed(error, attempt)
        case error.fetch("kind")
        when "blocked" then "blocked"
        when "retryable" then attempt < @step.fetch("default_retry_limit") ? "waiting_for_retry" : "error"
        else "error"
        end
      end
    end
  end
end
