# frozen_string_literal: true

require_relative "../internal/clock"

module TaskerCore
  class CLI
    # A line that says how far something is: drawn in place on a terminal, a note now and then elsewhere.
    #
    # @example
    #   text = RunningText.new(output)
    #   text.show("12 retried")
    #   text.clear
    class RunningText
      # Seconds between two notes where there is no terminal.
      NOTE_EVERY = 10.0

      # @param output [Output]
      def initialize(output)
        @output = output
        @drawn = false
        @told_at = Internal::Clock.seconds
      end

      # @param text [String] in place of what was shown before
      # @return [void]
      def show(text)
        @output.tty? ? draw(text) : note(text)
      end

      # Removes what was drawn.
      #
      # @return [void]
      def clear
        @output.redraw("") if @drawn
        @drawn = false
      end

      private

      def draw(text)
        @output.redraw(text)
        @drawn = true
      end

      def note(text)
        now = Internal::Clock.seconds
        return if now - @told_at < NOTE_EVERY

        @told_at = now
        @output.note("tasker: #{text} so far")
      end
    end
  end
end
