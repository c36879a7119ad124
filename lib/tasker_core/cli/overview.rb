# frozen_string_literal: true

require_relative "command"

module TaskerCore
  class CLI
    # The help about everything: commands, exit statuses, variables of the environment.
    class Overview
      # variable => what it does.
      VARIABLES = {
        "DATABASE_URL" => "database to use where --database-url does not name one",
        "TASKER_ENV" => "which `environments:` part of templates is used (default: RAILS_ENV, else development)",
        "TASKER_DATA_DIR" => "folder of the embedded Postgres",
        "NO_COLOR" => "no colours when set",
        "TASKER_DEBUG" => "1 shows the stack trace of an error"
      }.freeze

      # Columns of the texts at the right.
      WIDTH = 76

      # @param output [Output]
      # @param commands [Hash{String => Class}] name => command
      # @param statuses [Hash{Integer => String}] exit status => what it says
      def initialize(output, commands, statuses)
        @output = output
        @commands = commands
        @statuses = statuses
      end

      # Writes the whole overview.
      #
      # @return [Integer] {Command::OK}
      # @example
      #   overview.show
      def show
        @output.line("Usage: tasker COMMAND [options]\n\nRuns workflows durably on Postgres.")
        section("Commands", summaries(@commands))
        section("Exit status", @statuses)
        section("Environment", VARIABLES)
        @output.line("\ntasker help COMMAND says more about one of them.")
        Command::OK
      end

      # Writes the commands that share a first word.
      #
      # @param word [String] for instance "templates"
      # @return [Integer] {Command::OK}
      # @example
      #   overview.show_group("templates")
      def show_group(word)
        @output.line("Usage: tasker #{word} COMMAND [options]")
        section("Commands", summaries(@commands.select { |name, _| name.start_with?("#{word} ") }))
        Command::OK
      end

      private

      def summaries(commands)
        commands.transform_values { |command| command::SUMMARY }
      end

      def section(title, entries)
        width = entries.keys.map { |key| key.to_s.length }.max
        @output.line("\n#{@output.style.bold("#{title}:")}")
        entries.each do |key, text|
          @output.line("  #{key.to_s.ljust(width)}  #{wrap(text).join("\n#{" " * (width + 4)}")}")
        end
      end

      def wrap(text)
        text.scan(/\S.{0,#{WIDTH - 1}}(?=\s|\z)/o)
      end
    end
  end
end
