# frozen_string_literal: true

require_relative "errors"
require_relative "event"
require_relative "internal/suggestion"

module TaskerCore
  # What {TaskerCore.subscribe} returns. Frozen.
  class Subscription
    # Patterns that stand for several names.
    GROUPS = { "*" => "", "step.*" => "step.", "task.*" => "task.",
               "worker.*" => "worker." }.freeze

    # @return [Array<String>] as given, frozen
    attr_reader :patterns
    # @api private
    # @return [Array<Integer>] positions in {Event::NAMES}, frozen
    attr_reader :numbers

    # @api private
    # @param patterns [Array<String>] names of events, "step.*", "task.*", "worker.*" or "*"
    # @yieldparam event [Event]
    # @raise [InvalidArgument] a pattern that matches no event, or no block
    def initialize(patterns, &subscriber)
      raise InvalidArgument, "a subscription needs a block that takes the events" unless subscriber

      @patterns = patterns.map { |pattern| pattern.to_s.dup.freeze }.freeze
      @numbers = @patterns.flat_map { |pattern| matching(pattern) }.uniq.freeze
      @subscriber = subscriber
      freeze
    end

    # @api private
    # @param event [Event]
    def call(event)
      @subscriber.call(event)
    end

    private

    def matching(pattern)
      prefix = GROUPS[pattern]
      numbers = Event::NAMES.each_index.select do |number|
        prefix ? Event::NAMES[number].start_with?(prefix) : Event::NAMES[number] == pattern
      end
      numbers.empty? ? refuse(pattern) : numbers
    end

    def refuse(pattern)
      allowed = [*GROUPS.keys, *Event::NAMES]
      suggestion = Internal::Suggestion.sentence(pattern, allowed)
      raise InvalidArgument.new("there is no event #{pattern.inspect}#{suggestion}; allowed: #{allowed.join(", ")}",
                                details: { "value" => pattern, "allowed" => allowed })
    end
  end
end
