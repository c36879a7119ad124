# frozen_string_literal: true

require "io/console"
require "json"
require_relative "../internal/masked_url"
require_relative "format"
require_relative "style"

module TaskerCore
  class CLI
    # Where a command writes: results to one stream, notes and errors to another. Colours are used on a
    # terminal only, and not where the environment says NO_COLOR.
    class Output
      # Columns that are assumed where the terminal does not say.
      DEFAULT_WIDTH = 100

      # Colour sequences, which take no room on a screen.
      SEQUENCE = /\e\[\d+m/.freeze
      # A colour sequence or a character.
      PART = /#{SEQUENCE}|./m.freeze
      # Stands where a line was cut.
      ELLIPSIS = "..."

      # @param out [IO] stream of the results. Default: $stdout.
      # @param err [IO] stream of notes and errors. Default: $stderr.
      # @param env [Hash{String => String}] environment: NO_COLOR and TERM are read. Default: ENV.
      def initialize(out: $stdout, err: $stderr, env: ENV)
        @out = out
        @out.sync = true # Lines of a worker or a progress are read as they come.
        @err = err
        @colour = tty? && env["NO_COLOR"].to_s.empty? && env["TERM"] != "dumb"
        @style = Style.new(colour: @colour, unicode: unicode?)
      end

      # @return [Style] how states and marks look on this stream
      attr_reader :style

      # Writes one line of the result.
      #
      # @param text [String]
      # @return [void]
      # @example
      #   output.line("task 42 submitted")
      def line(text = "")
        @out.puts(text)
      end

      # Writes one JSON document, indented.
      #
      # @param value [Object] what JSON can say
      # @return [void]
      # @example
      #   output.json("task_id" => 42)
      def json(value)
        @out.puts(JSON.pretty_generate(value, max_nesting: 0))
      end

      # Writes beside the result, to the error stream, without the password of a database's URL: a message repeats what
      # was given, and that may be a URL in the wrong place.
      #
      # @param text [String]
      # @return [void]
      # @example
      #   output.note("waiting for task 42")
      def note(text)
        @err.puts(text.lines.map { |line| Internal::MaskedUrl.of(line) }.join)
      end

      # Writes names and values, the values aligned.
      #
      # @param entries [Hash{String => #to_s}] entries whose value is nil are left out
      # @return [void]
      # @example
      #   output.pairs("state" => "complete", "steps" => 5)
      def pairs(entries)
        shown = entries.compact
        width = shown.keys.map(&:length).max
        shown.each { |name, value| line("#{@style.faint("#{name}:".ljust(width + 1))} #{value}") }
      end

      # Writes an aligned table, its lines cut to the width of the terminal.
      #
      # @param header [Array<String>] titles of the columns
      # @param rows [Array<Array<#to_s>>] cells, as many as titles
      # @param right [Array<Integer>] positions of the columns that stand at the right (numbers). Default: none.
      # @return [void]
      # @example
      #   output.table(%w[ID NAME], [[1, "order_fulfilment"]], right: [0])
      def table(header, rows, right: [])
        cells = rows.map { |row| row.map(&:to_s) }
        widths = header.each_index.map { |column| width_of(column, header, cells) }
        line(@style.faint(row_text(header, widths, right)))
        cells.each { |row| line(row_text(row, widths, right)) }
      end

      # @return [Boolean] whether results go to a terminal
      def tty?
        @out.respond_to?(:tty?) && @out.tty?
      end

      # @return [Integer, nil] columns of the terminal; nil where results do not go to one
      def width
        return unless tty?

        columns = @out.winsize.last
        columns.positive? ? columns : DEFAULT_WIDTH
      rescue SystemCallError, NoMethodError
        DEFAULT_WIDTH
      end

      # Replaces the line that the cursor stands on, cut to the terminal's width; only for terminals.
      #
      # @param text [String]
      # @return [void]
      def redraw(text)
        @out.print("\r\e[K", clip(text))
        @out.flush
      end

      private

      def unicode?
        (@out.external_encoding || Encoding.default_external) == Encoding::UTF_8
      rescue NoMethodError
        true
      end

      def visible(text)
        text.gsub(SEQUENCE, "").length
      end

      def width_of(column, header, rows)
        [header[column].length, *rows.map { |row| visible(row[column]) }].max
      end

      def row_text(row, widths, right)
        texts = row.each_with_index.map { |text, column| aligned(text, widths[column], right.include?(column)) }
        clip(texts.join("  ").rstrip)
      end

      def aligned(text, width, right)
        space = " " * (width - visible(text))
        right ? space + text : text + space
      end

      def clip(text)
        limit = width
        return text if limit.nil? || visible(text) <= limit

        room = limit - ELLIPSIS.length
        kept = text.scan(PART).select { |part| part.match?(SEQUENCE) || (room -= 1) >= 0 }
        kept.join + ELLIPSIS
      end
    end
  end
end
