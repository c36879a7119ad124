# frozen_string_literal: true

require "json"

# Durable workflows, directed acyclic graphs of steps, on the Postgres that an application already has.
module TaskerCore
  # Root of every exception of this library.
  #
  # @example rescue everything, and tell what may be tried again
  #   begin
  #     TaskerCore.submit("order_fulfilment", context: { "order_id" => 42 })
  #   rescue TaskerCore::Error => e
  #     logger.error("#{e.code}: #{e.message} #{e.details}")
  #     retry if e.retryable? && (tries += 1) < 3
  #   end
  class Error < StandardError
    # Kind of error, the same for every error of a class.
    CODE = :error
    # Whether the same call may work later without a change, unless details say otherwise.
    RETRYABLE = false

    # @return [Hash{String => Object}] frozen; what the message says, by name: "key", "value", "allowed", "suggestion"
    attr_reader :details

    # Builds the exception for an error of the native library.
    #
    # @param kind [String] code of one of the classes below; any other gives {InternalError}
    # @param message [String]
    # @param details_json [String, nil] a JSON object
    # @return [Error] not raised
    # @example
    #   raise TaskerCore::Error.from_native("not_found", "task 7 does not exist", '{"task_id":7}')
    def self.from_native(kind, message, details_json = nil)
      NATIVE_CLASSES.fetch(kind.to_s, InternalError).new(message, details: parse_details(details_json))
    end

    # @api private
    def self.parse_details(text)
      parsed = text && JSON.parse(text, freeze: true)
      parsed.is_a?(Hash) ? parsed : {}
    rescue JSON::ParserError
      { "unreadable_details" => text }
    end
    private_class_method :parse_details

    # @param message [String, nil] nil: the name of the class
    # @param details [Hash{String => Object}] see {#details}; "retryable" overrides what the class says
    def initialize(message = nil, details: {})
      super(message)
      @details = details.frozen? ? details : details.dup.freeze
    end

    # @return [Symbol] the kind of error, for instance :not_found
    # @example
    #   exit 2 if error.code == :unknown_template
    def code
      self.class::CODE
    end

    # Whether the same call may work later although nothing about it was changed.
    #
    # @return [Boolean]
    # @example
    #   retry if error.retryable?
    def retryable?
      details.fetch("retryable", self.class::RETRYABLE) ? true : false
    end
  end

  # A setting or a file of settings is not understood, or settings contradict each other.
  class ConfigurationError < Error
    CODE = :configuration
  end

  # A template was refused; details name the key path, the value seen and what is allowed.
  class InvalidTemplate < Error
    CODE = :invalid_template
  end

  # Another template is known under the same namespace, name and version.
  class TemplateConflict < Error
    CODE = :template_conflict
  end

  # No template of this namespace, name and version is known.
  class UnknownTemplate < Error
    CODE = :unknown_template
  end

  # A step names a handler class that does not exist or is no step handler.
  class HandlerNotFound < Error
    CODE = :handler_not_found
  end

  # A context is not JSON, too large, too deep, or violates the schema of its template.
  class InvalidContext < Error
    CODE = :invalid_context
  end

  # An argument has the wrong type or a value that is never right.
  class InvalidArgument < Error
    CODE = :invalid_argument
  end

  # No task or step has this id.
  class NotFound < Error
    CODE = :not_found
  end

  # A task with this idempotency key or unique context is there already; details name the "idempotency_key" (nil for a
  # context), the task's "task_id" and its "state".
  class DuplicateTask < Error
    CODE = :duplicate_task
  end

  # Handlers keep every thread of a worker, and as many more, although their attempts were ended by others.
  class HandlersHang < Error
    CODE = :handlers_hang
    RETRYABLE = true

    # @param places [Integer] threads of the worker
    # @param more [Integer] threads that have lost their places before
    # @return [HandlersHang] not raised
    # @example
    #   raise TaskerCore::HandlersHang.of(5, 5)
    def self.of(places, more)
      new("all #{places} threads of the worker, and #{more} that were replaced, are in handlers that go on although " \
          "their attempts were ended by others (a timeout, for instance); the worker stops, so that others get what " \
          "it holds: start its process anew, and have these handlers end in time or call step.check_cancelled!",
          details: { "threads" => places, "replaced" => more })
    end
  end

  # Another reader of the same consumer has begun, and goes on in the place of this one; details name the "consumer".
  class FeedTaken < Error
    CODE = :feed_taken
  end

  # The state of a task or step does not allow what was asked.
  class InvalidTransition < Error
    CODE = :invalid_transition
  end

  # The database does not answer.
  class DatabaseUnavailable < Error
    CODE = :database_unavailable
    RETRYABLE = true
  end

  # The database's schema is older or newer than this library; the message says what to run.
  class SchemaMismatch < Error
    CODE = :schema_mismatch
  end

  # Something was encrypted with a key that is not among {Configuration#encryption_keys}; details name the "key".
  class DecryptionError < Error
    CODE = :decryption
  end

  # The database refused a statement; details hold "sqlstate" and, where known, "retryable".
  class DatabaseError < Error
    CODE = :database
  end

  # A defect of this library.
  class InternalError < Error
    CODE = :internal
  end

  # Something took longer than the time given for it; it goes on all the same.
  class TimeoutError < Error
    CODE = :timeout
    RETRYABLE = true
  end

  class Error
    # @api private
    NATIVE_CLASSES = [ConfigurationError, InvalidTemplate, TemplateConflict, UnknownTemplate, InvalidContext,
                      InvalidArgument, NotFound, DuplicateTask, FeedTaken, InvalidTransition, DatabaseUnavailable,
                      SchemaMismatch, DecryptionError, DatabaseError,
                      InternalError].to_h { |error| [error::CODE.to_s, error] }.freeze
    private_constant :NATIVE_CLASSES
  end
end
