# frozen_string_literal: true

require_relative "expectation"
require_relative "judges/additions"
require_relative "judges/artifacts"
require_relative "judges/budgets"
require_relative "judges/checkpoints"
require_relative "judges/compensation"
require_relative "judges/effects"
require_relative "judges/ends"
require_relative "judges/executions"
require_relative "judges/expiry"
require_relative "judges/forks"
require_relative "judges/hangs"
require_relative "judges/history"
require_relative "judges/order"
require_relative "judges/polls"
require_relative "judges/priorities"
require_relative "judges/reruns"
require_relative "judges/signals"
require_relative "judges/steering"
require_relative "judges/timeouts"
require_relative "judges/waits"
require_relative "judges/workflows"

module Chaos
  # Compares what is known of tasks with what the engine promises.
  class Checker
    # Each of them looks at each task.
    JUDGES = [Judges::Ends, Judges::History, Judges::Executions, Judges::Order, Judges::Waits, Judges::Steering,
              Judges::Workflows, Judges::Compensation, Judges::Budgets, Judges::Checkpoints, Judges::Additions,
              Judges::Timeouts, Judges::Reruns, Judges::Forks, Judges::Signals, Judges::Artifacts,
              Judges::Expiry, Judges::Effects, Judges::Hangs, Judges::Polls, Judges::Priorities].freeze

    # Those that compare steps with what had stood above them, or was asked for them: where some are retired, nobody
    # knows any more.
    OF_ALL_STEPS = [Judges::Order, Judges::Steering, Judges::Additions, Judges::Reruns].freeze

    class << self
      # @param violations [Array<String>]
      # @return [Hash{String => Integer}] what they tell, without the tasks, steps and numbers in them => how often; the
      #   most frequent first
      # @example
      #   Checker.kinds(["task 7: it was completed 0 times", "task 9: it was completed 2 times"])
      #   # => {"it was completed N times" => 2}
      def kinds(violations)
        kinds = violations.map { |text| text.sub(/\Atask \d+(, step \d+( \([^)]*\))?)?: /, "").gsub(/\d+/, "N") }
        kinds.tally.sort_by { |kind, times| [-times, kind] }.to_h
      end

      # @param receipts [Array<Receipt>]
      # @param ids [Array<Integer>] tasks that are in the database
      # @return [Array<String>] one for each task that was acknowledged and is not there
      # @example
      #   Checker.lost([Receipt.new(7, "chain", 1, [])], []) # => ["task 7: it was acknowledged and is not there"]
      def lost(receipts, ids)
        (receipts.map(&:task_id) - ids).map { |id| "task #{id}: it was acknowledged and is not there" }
      end

      # @param keys [Array<Key>] with which tasks were submitted
      # @param tasks [Hash{String => Array<Integer>}] ids of the tasks that are in the database, by the key
      # @return [Array<String>] one for each key that stands for more than one task, or was said to
      # @example
      #   Checker.doubled([Key.new("k", [7], 1)], "k" => [7, 8]) # => ["k: it is tasks 7, 8"]
      def doubled(keys, tasks)
        keys.flat_map { |key| complaints(key, tasks.fetch(key.text, [])) }
      end

      private

      def complaints(key, ids)
        told = key.ids.uniq
        [*("#{key.text}: it is tasks #{ids.join(", ")}" if ids.size > 1),
         *("#{key.text}: it is task #{ids.join(", ")}, told was #{told.join(", ")}" unless (told - ids).empty?),
         *("#{key.text}: #{key.made} submits were told that they made its task" if key.made > 1)]
      end
    end

    # @param record [Record]
    def initialize(record)
      @record = record
    end

    # @return [Array<String>] what is wrong, with the ids of task and step; [] if nothing is
    # @example
    #   Checker.new(record).violations # => ["task 7, step 7340032 (s0): it was completed 2 times"]
    def violations
      expectation = Expectation.new(@record)
      judges.flat_map { |judge| judge.new(@record, expectation).violations }
    end

    private

    # Of steps that nobody added it is not known how they have to end.
    def judges
      return [Judges::Additions] if (@record.steps.map(&:name) - Graphs.of(@record).keys).any?

      @record.retired.to_i.positive? ? JUDGES - OF_ALL_STEPS : JUDGES
    end
  end
end
