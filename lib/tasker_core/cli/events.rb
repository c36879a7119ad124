# frozen_string_literal: true

require "json"
require_relative "command"
require_relative "format"

module TaskerCore
  class CLI
    # `tasker events`: what happened to all tasks, in order.
    class Events < Command
      NAME = "events"
      SUMMARY = "show every change of state of all tasks, in order, also as it happens"
      DETAILS = <<~TEXT
        A CURSOR is the number of an event, the first column: what came after it is shown. A consumer's position is kept in
        the database, and --from counts the first time only; one process reads for a consumer, the latest.

        An event is shown once every transaction has ended that may still write an earlier one: with --follow it is told
        who is waited for. The first call in a database makes two indexes (docs/events.md).
      TEXT
      EXAMPLES = ["tasker events --from now --follow", "tasker events --type step.failed_permanently --type 'task.*'",
                  "tasker events --consumer billing --follow --json"].freeze

      # Words for positions.
      PLACES = { "beginning" => :beginning, "now" => :now }.freeze

      # Writes the events.
      #
      # @return [Integer] exit status
      def call
        place = from
        connected do |client|
          feed = client.feed(options[:consumer], from: place, events: options.fetch(:type, []))
          write(feed)
          tell_missed(feed)
        end
        OK
      end

      private

      def define_options(parser)
        parser.on("--follow", "wait for more (default: end with the last one)")
        parser.on("--from CURSOR", "begin after this event, at the beginning or now",
                  "(default: beginning, with --follow now)")
        parser.on("--consumer NAME", "go on where this consumer was (default: none)")
        parser.on("--type TYPE", "only these, such as step.succeeded or task.*; may be given",
                  "again (default: all)") { |type| [*options[:type], type] }
        parser.on("--json", "print one JSON document a line (default: text for people)")
      end

      def from
        word = options.fetch(:from) { options[:follow] ? "now" : "beginning" }
        PLACES.fetch(word) do
          refuse("--from must be a number, beginning or now, got #{word.inspect}") unless word.match?(/\A[0-9]+\z/)
          word.to_i
        end
      end

      def write(feed)
        feed.each_batch(follow: options.fetch(:follow, false), waiting: method(:tell_waiting)) do |events|
          events.each { |event| output.line(json? ? JSON.generate(event.to_h) : line(event)) }
          tell_missed(feed)
        end
      end

      def line(event)
        [event.number.to_s.rjust(8), Format.moment(event.at, exact: true), event.name.ljust(25),
         "task #{event.task_id}", Format.clean(event.step_name.to_s), "#{event.from} > #{event.to}",
         attempt(event), request(event), failure(event)].reject { |part| part.to_s.empty? }.join("  ")
      end

      def attempt(event)
        "attempt #{event.attempt}" if event.step? && event.attempt.positive?
      end

      # What an operator did that changes no state.
      def request(event)
        Format.facts(event.detail) if event.from == event.to
      end

      def failure(event)
        error = event.error
        error && output.style.paint(Format.clean(error.values_at("class", "message").compact.join(": ")), :red)
      end

      def tell_waiting(held_back_by)
        since = held_back_by["age_s"] ? " for #{Format.duration(held_back_by["age_s"])}" : ""
        output.note("tasker: what follows waits for a transaction that is open#{since}: #{held_back_by["who"]}")
      end

      def tell_missed(feed)
        return if feed.missed == @told.to_i

        @told = feed.missed
        output.note("tasker: #{Format.count(feed.missed)} events were pruned before #{feed.consumer} took them")
      end
    end
  end
end
