# frozen_string_literal: true

require "json"
require "time"
require_relative "../internal/check"
require_relative "../internal/json_text"

module TaskerCore
  module Testing
    # What an attempt finds and leaves behind, in the place of the native library's worker.
    #
    # `signals` [Hash{String => Object}]: payloads of those that were sent, by name. `waits` [Integer], `data` and
    # `cursor`: what the step has kept of waits and checkpoints before. `states` [Hash{String => String}]: of other
    # steps; those that have results are complete, others pending. `items` [Hash{String => Array}]: results of the items
    # of map steps. `workflows` [Hash{String => Object}]: results of workflows that the handler runs, by the name of the
    # call or of the workflow; others are waited for. `cancelled` [Boolean]: others have ended the attempt. `timed_out`
    # [Boolean]: the last wait ended by its time.
    class Surroundings
      # What can be said of an attempt's surroundings, and what goes for what is not.
      DEFAULTS = { states: {}, items: {}, signals: {}, waits: 0, data: nil, cursor: nil, workflows: {},
                   cancelled: false, timed_out: false }.freeze
      # What a template says of all its steps.
      HEAD = %w[namespace_name name version error_classes].freeze
      private_constant :HEAD
      # The template's number here, and the task's.
      ID = 1

      # @return [Hash{Symbol => Object}] `how` the attempt ended, and what was said with it as JSON
      attr_reader :ended
      # @return [Array<Hash>] as they were attached
      attr_reader :artifacts
      # @return [Array<Hash>] cursor and data of each checkpoint
      attr_reader :checkpoints
      # @return [Float]
      attr_reader :spent

      # @param template [TaskTemplate]
      # @param step [Hash{String => Object}] as the template defines it
      # @param results [Hash{String => Object}] of other steps
      # @param options [Hash{Symbol => Object}] of {DEFAULTS}
      def initialize(template, step, results:, **options)
        @template = template
        @step = step
        @results = texts(results)
        options = DEFAULTS.merge(options)
        @states = by_name(options[:states])
        @items = by_name(options[:items])
        @signals = by_name(options[:signals])
        @workflows = by_name(options[:workflows])
        @kept = { "waits" => options[:waits], "data" => options[:data], "cursor" => options[:cursor] }
        @timed_out = options[:timed_out]
        @cancelled = options[:cancelled]
        @artifacts = []
        @checkpoints = []
        @spent = 0.0
        @ended = @recorded = nil
      end

      # @return [String] JSON of the results of the step's parents, as far as they have some
      def parents
        parents = @results.slice(*@step.fetch("depends_on_steps"))
        "{#{parents.map { |name, text| "#{JSON.generate(name)}:#{text}" }.join(",")}}"
      end

      # As {Internal::Bridge::Worker}.
      #
      # @api private
      def template(_id)
        grows = @template.steps.any? { |step| step["dynamic"] || step["map"] }
        JSON.generate({ **@template.definition.slice(*HEAD), "grows" => grows })
      end

      # As {Internal::Bridge::Worker}.
      #
      # @api private
      def step_names(_id)
        JSON.generate(@template.step_names)
      end

      # As {Internal::Bridge::Worker}.
      #
      # @api private
      def step_definition(_id, index)
        step = @template.steps.fetch(index)
        branches = @template.steps.select { |other| other.fetch("depends_on_steps").include?(step.fetch("name")) }
        JSON.generate(step.merge("branches" => step["decides"] ? branches.map { |branch| branch.fetch("name") } : []))
      end

      %i[succeed decide grow fail wait].each do |how|
        define_method(how) { |_step, _attempt, _took_us, *said| @ended = { how: how, said: said }.freeze }
      end

      # As {Internal::Bridge::Worker}: any connection of the application's will do.
      #
      # @api private
      def check_connection; end

      # As {Internal::Bridge::Worker}.
      #
      # @api private
      def record_end(_step, _attempt, _took_us, *said)
        return "lost" if @cancelled

        @recorded = { how: said.last ? :decide : :succeed, said: said.compact.freeze }.freeze
        "recorded"
      end

      # As {Internal::Bridge::Worker}: what fails when it is committed is not.
      #
      # @api private
      def end_recorded(step, attempt, took_us, failure)
        return @ended = @recorded unless failure

        public_send(:fail, step, attempt, took_us, failure)
      end

      # As {Internal::Bridge::Worker}.
      #
      # @api private
      def attach(_step, _attempt, artifact)
        artifact = JSON.parse(artifact, freeze: true)
        @artifacts.reject! { |other| other["name"] == artifact["name"] }
        @artifacts << artifact
        nil
      end

      # As {Internal::Bridge::Worker}.
      #
      # @api private
      def spend(_step, _attempt, cost)
        @spent += cost
      end

      # As {Internal::Bridge::Worker}.
      #
      # @api private
      def current(_step, _attempt)
        !@cancelled
      end

      # As {Internal::Bridge::Worker}.
      #
      # @api private
      def checkpoint(_step, _attempt, checkpoint)
        return false if @cancelled

        made = JSON.parse(checkpoint, freeze: true).except("moved")
        @kept = @kept.merge(made)
        @checkpoints << made
        true
      end

      # As {Internal::Bridge::Worker}.
      #
      # @api private
      def look_at_wait(_step, signal, _after)
        now = Time.now.utc.iso8601(6)
        look = { **@kept, "timed_out" => @timed_out, "deadline" => (now if @timed_out), "now" => now }
        number = @signals.keys.index(signal)
        sent = number && { "id" => number + 1, "payload" => @signals[signal], "actor" => nil, "sent_at" => now }
        JSON.generate({ **look, "signal" => sent })
      end

      # As {Internal::Bridge::Worker}.
      #
      # @api private
      def run_workflow(_step, _attempt, call)
        call = JSON.parse(call)
        name = call["name"] || call["workflow"] || @step.dig("workflow", "name")
        return JSON.generate("results" => @workflows[name]) if @workflows.key?(name)

        JSON.generate("wait" => { "signal" => "workflow #{name}", "after_signal" => 0 })
      end

      # As {Internal::Bridge::Worker}.
      #
      # @api private
      def results_of(_task_id, step)
        @results[step]
      end

      # As {Internal::Bridge::Worker}.
      #
      # @api private
      def state_of(_task_id, step)
        @states.fetch(step) { @results.key?(step) ? "complete" : "pending" }
      end

      # As {Internal::Bridge::Worker}.
      #
      # @api private
      def items_of(_task_id, step, after, limit)
        items = @items.fetch(step, []).each_with_index.map do |results, index|
          { index: index, state: "complete", attempts: 1, item: nil, results: results }
        end
        JSON.generate(items.drop((after || -1) + 1).first(limit))
      end

      private

      def by_name(values)
        values.transform_keys(&:to_s)
      end

      def texts(results)
        writer = Internal::JsonText.new(symbols: true, records: true)
        by_name(results).to_h { |name, value| [name, writer.generate(value, what: "results of #{name}")] }
      end
    end
  end
end
