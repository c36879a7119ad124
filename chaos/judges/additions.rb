# frozen_string_literal: true

require_relative "judge"
require_relative "../growth"

module Chaos
  module Judges
    # Steps are added once, by attempts that completed, and the items of a list are executed so many at a time.
    class Additions < Judge
      # Events that let others begin beside those that run.
      BESIDE = %w[retried skipped resolved_manually].freeze
      # States in which an item is done.
      DONE = %w[complete error skipped resolved_manually].freeze
      # Events by which a list ends with its items.
      ENDS = %w[items_done items_failed].freeze

      private

      def judge
        record.steps.map(&:name).tally.each { |name, times| tell("it has #{name} #{times} times") if times > 1 }
        (@steps.keys - @graph.keys).each { |name| tell("it has #{name}, and nobody added it") }
        map = Growth::MAPS[record.template]
        judge_map(map, @steps[map.step]) if map
      end

      def judge_map(map, step)
        items = @steps.values_at(*Growth.items(map, record.seed)).compact
        step.transitions.each { |change| judge_done(map, step, change, items) if ENDS.include?(change.event) }
        return if items.any? { |item| item.transitions.any? { |one| BESIDE.include?(one.event) } }

        judge_number(step, items)
      end

      def judge_done(map, step, done, items)
        items.each do |item|
          tell("its items were done before #{item.name} was", step) unless DONE.include?(item.state_before(done))
        end
        failed = Growth.failed(record, before: done)
        may = map.tolerate.nil? || failed <= map.tolerate
        return if may == (done.event == "items_done")

        tell("#{done.event} with #{failed} in error, #{map.tolerate || "all"} may be", step)
      end

      # Those that have begun, and keep their place until they are done.
      def judge_number(map, items)
        changes = items.flat_map { |item| ends_of(item) }.sort_by(&:first)
        most = changes.map(&:last).inject([0]) { |sums, step| [*sums, sums.last + step] }.max
        tell("#{most} items ran at a time", map) if most > Growth::MAX_PARALLEL
      end

      # An item that was added ready runs from the beginning on, one that ended without a claim never.
      def ends_of(item)
        first, last = item.transitions.values_at(0, -1)
        return [] if first.nil? || %w[item_given_up budget_exhausted].include?(first.event)

        [[first.id, 1], ([last.id, -1] if %w[complete error cancelled].include?(item.state))].compact
      end
    end
  end
end
