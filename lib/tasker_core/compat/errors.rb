# frozen_string_literal: true

module Tasker
  # Root of every exception.
  Error = TaskerCore::Error
  # A setting is not understood.
  ConfigurationError = TaskerCore::ConfigurationError
  # Raised by a handler: another attempt may succeed.
  RetryableError = TaskerCore::RetryableError
  # Raised by a handler: no other attempt can succeed.
  PermanentError = TaskerCore::PermanentError
  # A template was refused.
  InvalidTaskHandlerConfig = TaskerCore::InvalidTemplate

  # What was asked for is not there, or cannot be done.
  class ProceduralError < Error
    CODE = :procedural
  end
end
