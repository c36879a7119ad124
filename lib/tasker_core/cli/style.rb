# frozen_string_literal: true

module TaskerCore
  class CLI
    # How states and marks look: a symbol, a word and a colour each. The word is always there, so nothing is
    # told by colour alone.
    class Style
      # Numbers of the terminal's own colours (ECMA-48, select graphic rendition).
      COLOURS = { red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36, faint: 2, bold: 1 }.freeze

      # state => [symbol, symbol without Unicode, colour]
      STATES = {
        "pending" => ["·", ".", :faint],
        "enqueued" => ["○", "o", :blue],
        "in_progress" => ["▶", ">", :cyan],
        "complete" => ["✓", "+", :green],
        "waiting_for_retry" => ["↻", "~", :yellow],
        "waiting" => ["◷", "w", :yellow],
        "blocked" => ["■", "#", :magenta],
        "paused" => ["‖", "=", :yellow],
        "error" => ["✗", "x", :red],
        "skipped" => ["»", "s", :faint],
        "cancelled" => ["⊘", "-", :yellow],
        "resolved_manually" => ["✓", "m", :green]
      }.freeze

      # @param colour [Boolean] whether colours are used
      # @param unicode [Boolean] whether symbols outside ASCII are used. Default: true.
      def initialize(colour:, unicode: true)
        @colour = colour
        @unicode = unicode
      end

      # The state with its symbol, in its colour.
      #
      # @param name [String] one of the states of tasks and steps
      # @param label [String] the words beside the symbol. Default: the state.
      # @return [String] for instance "✓ complete"
      # @example
      #   style.state("complete")
      def state(name, label = name)
        rich, plain, colour = STATES.fetch(name, ["?", "?", :bold])
        paint("#{@unicode ? rich : plain} #{label}", colour)
      end

      # A check's answer.
      #
      # @param success [Boolean]
      # @return [String] "✓ ok" or "✗ failed"
      # @example
      #   style.mark(true)
      def mark(success)
        success ? state("complete", "ok") : state("error", "failed")
      end

      # The text in a colour, or as it is where colours are off.
      #
      # @param text [String]
      # @param colour [Symbol] a key of {COLOURS}
      # @return [String]
      # @example
      #   style.paint("careful", :yellow)
      def paint(text, colour)
        @colour ? "\e[#{COLOURS.fetch(colour)}m#{text}\e[0m" : text
      end

      # The text as something of lesser weight.
      #
      # @param text [String]
      # @return [String]
      def faint(text)
        paint(text, :faint)
      end

      # The text as a title.
      #
      # @param text [String]
      # @return [String]
      def bold(text)
        paint(text, :bold)
      end

      # A bar that is filled up to a share.
      #
      # @param share [Float] 0.0..1.0
      # @param width [Integer] characters
      # @return [String] exactly `width` characters
      # @example
      #   style.bar(0.5, 10) # => "█████░░░░░"
      def bar(share, width)
        full, empty = @unicode ? %w[█ ░] : %w[# .]
        filled = (share.clamp(0.0, 1.0) * width).floor
        paint(full * filled, :green) + faint(empty * (width - filled))
      end
    end
  end
end
