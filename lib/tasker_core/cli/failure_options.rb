# frozen_string_literal: true

require_relative "age"

module TaskerCore
  class CLI
    # Options that say which failures are meant, for commands.
    module FailureOptions
      private

      # Options that the filter takes as they are.
      FAILURE_TEXTS = %i[namespace name version step state error message].freeze
      private_constant :FAILURE_TEXTS

      def failure_options(parser)
        parser.on("--namespace NAME", "only of templates of this namespace (default: any)")
        parser.on("--name NAME", "only of templates of this name (default: any)")
        parser.on("--version VERSION", "only of templates of this version (default: any)")
        parser.on("--step NAME", "only steps of this name (default: any)")
        parser.on("--state STATE", %w[error blocked], "only steps in this state: error or blocked", "(default: both)")
        parser.on("--error CLASS", "only with an exception of this class (default: any)")
        parser.on("--message TEXT", "only with a message that contains this (default: any)")
        parser.on("--since AGE", "only what failed within this time, such as 2h")
        parser.on("--until AGE", "only what failed longer ago than this")
        parser.on("--tag TAG", "only of tasks with this tag; may be given again") { |tag| [*options[:tag], tag] }
      end

      def failure_filter
        filter = options.slice(*FAILURE_TEXTS)
        filter[:tags] = options[:tag] if options[:tag]
        filter.merge(%i[since until].to_h { |key| [key, moment(key)] }.compact)
      end

      def moment(option)
        text = options[option]
        text && (Time.now - Age.seconds("--#{option}", text))
      end
    end
  end
end
