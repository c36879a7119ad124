# frozen_string_literal: true

require_relative "judge"
require_relative "../growth"

module Chaos
  module Judges
    # Steps are added once, by attempts that completed, and the items of a list are executed so many at a time.
    class Additions < Judge
      # Events that let others begin beside those that run.
      BESIDE = %w[retried skipped resolved_manually].freeze

      private

      def judge
        record.steps.map(&:name).tally.each { |name, times| tell("it has #{name} #{times} times") if times > 1 }
        (@steps.keys - @graph.keys).each { |name| tell("it has #{name}, and nobody added it") }
        judge_map(@steps[Growth::MAP]) if record.template == Growth::MAPPED
      end

      def judge_map(map)
        items = @steps.values_at(*Growth.items(record.seed)).compact
        done = map.transitions.find { |change| change.event == "items_done" }
        items.each { |item| judge_done(map, done, item) } if done
        judge_number(map, items) unless items.any? { |item| item.transitions.any? { |one| BESIDE.include?(one.event) } }
      end

      def judge_done(map, done, item)
        ended = item.transitions.last
        tell("its items were done before #{item.name} was", map) if ended.nil? || ended.id > done.id
      end

      # Those that have begun, and keep their place until they are done.
      def judge_number(map, items)
        changes = items.flat_map { |item| ends_of(item) }.sort_by(&:first)
        most = changes.map(&:last).inject([0]) { |sums, step| [*sums, sums.last + step] }.max
        tell("#{most} items ran at a time", map) if most > Growth::MAX_PARALLEL
      end

      # An item that was added ready runs from the beginning on.
      def ends_of(item)
        first, last = item.transitions.values_at(0, -1)
        first ? [[first.id, 1], ([last.id, -1] if %w[complete error cancelled].include?(item.state))].compact : []
      end
    end
  end
end
