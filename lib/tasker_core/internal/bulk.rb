# frozen_string_literal: true

require_relative "../bulk_report"
require_relative "../errors"
require_relative "clock"

module TaskerCore
  module Internal
    # Does something with many tasks or steps, one after the other, each in a transaction of its own; counts what became
    # of them.
    class Bulk
      # A task, or a step of one and as what it was seen: JSON.
      Target = Struct.new(:task_id, :step, :step_id, :seen, keyword_init: true)

      # It went on or ended meanwhile, or was pruned.
      GONE_ON = [InvalidTransition, NotFound].freeze
      # None of the others would fare better.
      FATAL = [DatabaseUnavailable, SchemaMismatch, ConfigurationError].freeze
      # Tasks or steps that are looked for at once, at most.
      BATCH = 100
      # Seconds between two reports about the progress.
      REPORT_EVERY = 0.1

      # @param action [String] what is done, for the report
      # @param rate [Numeric, nil] how many a second at most; nil: as fast as they can be. Default nil.
      # @param dry_run [Boolean] count only. Default false.
      # @param rehearsed [Boolean] a dry run asks too, of what takes back whatever is done. Default false.
      # @param clock [#call] seconds on a clock that never goes back
      # @param pause [#call] waits for a number of seconds
      # @yieldparam so_far [BulkReport] now and then
      def initialize(action, rate: nil, dry_run: false, rehearsed: false, clock: Clock.method(:seconds), # rubocop:disable Metrics/ParameterLists -- what, how, and the time
                     pause: Kernel.method(:sleep), &progress)
        @action = action
        @rate = rate
        @dry_run = dry_run
        @rehearsed = rehearsed
        @clock = clock
        @pause = pause
        @progress = progress
        @matched = @done = @gone_on = 0
        @refused = []
        @examples = []
        @canary = @stopped = nil
      end

      # @return [Hash{String => Object}, nil] what became of the first steps, for the report
      attr_accessor :canary
      # @return [String, nil] why the others are left alone, for the report
      attr_accessor :stopped

      # @return [Integer] how many are looked for at once, shortly before they are asked: no more than within a second
      # @example
      #   bulk.batch # => 100
      def batch
        @rate ? [@rate.ceil, BATCH].min : BATCH
      end

      # @param targets [Enumerable<Target>]
      # @param most [Integer, nil] stop after it was done with so many. Default nil: never.
      # @yieldparam target [Target]
      # @yieldreturn [Object] false: there was nothing to do
      # @return [Array<Target>] those with which it was done, where `most` is given
      # @raise [Error] one of {FATAL}; what was done before stays done
      # @example
      #   bulk.run(targets) { |target| client.cancel(target.task_id) }
      def run(targets, most: nil)
        @started = @clock.call
        @asked = 0
        chosen = []
        targets.each do |target|
          done = one(target) { yield target }
          chosen << target if done && most
          tell
          break if most && chosen.size >= most
        end
        chosen
      end

      # @return [BulkReport] what became of them so far
      # @example
      #   bulk.report.done # => 12
      def report
        BulkReport.new({ action: @action, dry_run: @dry_run, matched: @matched, done: @done, gone_on: @gone_on,
                         refused: @refused.dup.freeze, examples: @examples.dup.freeze, canary: canary,
                         stopped: stopped }.freeze)
      end

      # Reports the progress, unless that was just done.
      #
      # @return [void]
      def tell
        now = @clock.call
        return if @progress.nil? || (@told_at && now - @told_at < REPORT_EVERY)

        @told_at = now
        @progress.call(report)
      end

      private

      def one(target, &ask)
        @matched += 1
        return count_gone_on if asks? && !asked(&ask)

        @examples << { "task_id" => target.task_id, "step" => target.step }.freeze if @examples.size < BulkReport::SHOWN
        return false if @dry_run

        @done += 1
      rescue *FATAL
        raise
      rescue *GONE_ON
        count_gone_on
      rescue Error => e
        refuse(target, e)
      end

      def asks?
        !@dry_run || @rehearsed
      end

      # Whether there was something to do.
      def asked
        keep_pace
        yield != false
      end

      def count_gone_on
        @gone_on += 1
        false
      end

      def refuse(target, error)
        @refused << { "task_id" => target.task_id, "step" => target.step, "error" => error.class.name,
                      "message" => error.message }.freeze
        false
      end

      # The first at once, each further one when it is due.
      def keep_pace
        return unless @rate

        left = @started + @asked.fdiv(@rate) - @clock.call
        @asked += 1
        @pause.call(left) if left.positive?
      end
    end
  end
end
