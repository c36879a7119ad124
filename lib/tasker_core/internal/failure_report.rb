# frozen_string_literal: true

require "json"
require_relative "../errors"
require_relative "../step_handler/errors"

module TaskerCore
  module Internal
    # What is recorded of an exception that ended an attempt: bounded in size, valid UTF-8, without U+0000 (which
    # Postgres cannot keep), whatever the exception's own methods do.
    #
    # * permanent: PermanentError; also ScriptError (NotImplementedError, LoadError, SyntaxError), SystemStackError
    #   and SecurityError, because the same code fails the same way again
    # * blocked: BlockedError; also HandlerNotFound, because somebody has to deploy the class
    # * retryable: everything else; also SystemExit, Interrupt, SignalException and NoMemoryError, because the
    #   surroundings may be different next time
    #
    # A rule of a user's table ({ErrorClasses}) comes before these.
    module FailureReport
      # First match wins.
      KINDS = {
        PermanentError => "permanent", BlockedError => "blocked", HandlerNotFound => "blocked",
        ScriptError => "permanent", SystemStackError => "permanent", SecurityError => "permanent",
        Exception => "retryable"
      }.freeze
      # Longest context, in bytes of JSON; a longer one is kept as text, cut off.
      MAX_CONTEXT = 16_384
      # Longest message, in bytes.
      MAX_MESSAGE = 4_096
      # Most lines of a backtrace.
      MAX_BACKTRACE = 50
      # Longest line of a backtrace, name of a class or code, in bytes.
      MAX_LINE = 512
      # Most exceptions behind the exception.
      MAX_CAUSES = 5

      module_function

      # @param error [Exception]
      # @param rule [ErrorClasses::Rule, nil] what a table says of it. Default nil: none does.
      # @return [String] JSON: kind, classified_by, class, message, backtrace, code, retry_after_s, context, causes
      # @example
      #   FailureReport.json(RuntimeError.new("no route"))
      def json(error, rule = nil)
        JSON.generate({
                        "kind" => kind(error, rule), "classified_by" => rule&.source, **identity(error),
                        **signal(error), "backtrace" => backtrace(error),
                        "causes" => causes(error).map { |cause| identity(cause) }
                      })
      end

      # @param error [Exception]
      # @param rule [ErrorClasses::Rule, nil] what a table says of it. Default nil: none does.
      # @return [String] "retryable", "permanent" or "blocked"
      # @example
      #   FailureReport.kind(RuntimeError.new) # => "retryable"
      def kind(error, rule = nil)
        rule ? rule.kind : KINDS.find { |type, _kind| error.is_a?(type) }.last
      end

      # @param error [Exception]
      # @return [String] class and message on one line, for a log
      # @example
      #   FailureReport.line(RuntimeError.new("no route")) # => "RuntimeError: no route"
      def line(error)
        identity(error).values.join(": ").lines.first.to_s.chomp
      end

      # @api private
      def identity(error)
        { "class" => text(class_name(error), MAX_LINE), "message" => text(message(error), MAX_MESSAGE) }
      end

      # @api private
      def class_name(error)
        error.class.ancestors.grep(Class).filter_map(&:name).first
      end

      # What only the handler's own errors say.
      #
      # @api private
      def signal(error)
        return {} unless error.is_a?(HandlerError)

        { "code" => (text(error.error_code, MAX_LINE) if error.error_code), "context" => context(error),
          "retry_after_s" => (retry_after(error) if error.is_a?(RetryableError)) }
      end

      # The method may be a subclass's, and fail.
      #
      # @api private
      def retry_after(error)
        seconds = error.retry_after_seconds&.to_f
        seconds if seconds&.finite?
      rescue StandardError
        nil
      end

      # @api private
      def context(error)
        return if error.context.nil? || error.context == {}

        json = JSON.generate(error.context).gsub("\\u0000", "")
        json.bytesize > MAX_CONTEXT ? text(json, MAX_CONTEXT) : JSON.parse(json)
      rescue StandardError => e
        "a context that is no JSON (#{e.class})"
      end

      # The method is the application's and may fail itself.
      #
      # @api private
      def message(error)
        error.message
      rescue StandardError => e
        "(the message cannot be read: #{e.class})"
      end

      # @api private
      def backtrace(error)
        lines = error.backtrace
        lines.is_a?(Array) ? lines.first(MAX_BACKTRACE).map { |line| text(line, MAX_LINE) } : []
      end

      # @api private
      def causes(error)
        found = []
        while found.size < MAX_CAUSES && (error = error.cause) && !found.include?(error)
          found << error
        end
        found
      end

      # @api private
      def text(value, limit)
        text = value.to_s.dup
        text.force_encoding(Encoding::UTF_8) if text.encoding == Encoding::BINARY
        text = text.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub.tr("\0", "\u2400")
        text.bytesize > limit ? "#{text.byteslice(0, limit - 3).scrub("")}..." : text
      end
    end
  end
end
