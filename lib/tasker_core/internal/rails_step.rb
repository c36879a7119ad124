# frozen_string_literal: true

module TaskerCore
  module Internal
    # What Rails code needs around it, around each attempt of a step: the executor (connections are given back, the
    # query cache, code that has changed is loaded anew in development), tags in the log, and that its errors are
    # reported.
    class RailsStep
      # Whom errors come from.
      SOURCE = "tasker_core"
      # Exceptions by which handlers say what is to be done.
      SIGNALS = [RetryableError, PermanentError, BlockedError].freeze
      private_constant :SOURCE, :SIGNALS

      # @param app [Rails::Application]
      def initialize(app)
        @app = app
      end

      # @param task [Task]
      # @param step [Step]
      # @yield [] executes the attempt
      # @return [void]
      # @example
      #   rails_step.call(task, step) { handler.process(task, sequence, step) }
      def call(task, step, &attempt)
        failure = nil
        @app.reloader.wrap do
          tell_reporter(task, step)
          tagged(task, step, &attempt)
        rescue StandardError => e
          # Not through the executor, which would report it once more.
          report(failure = e, task, step)
        end
        raise failure if failure
      end

      private

      # Not by the logger's `tagged`: one that passes on to several has each of them execute the block.
      def tagged(task, step)
        logger = ::Rails.logger
        return yield unless logger.respond_to?(:push_tags)

        begin
          tags = ["TaskerCore", "task #{task.task_id}", "step #{step.step_id} #{step.name}"]
          logger.push_tags(*tags)
          yield
        ensure
          logger.pop_tags(tags.size)
        end
      end

      # For what the handler reports itself. The executor forgets it.
      def tell_reporter(task, step)
        ::Rails.error.set_context(**context(task, step)) if ::Rails.respond_to?(:error)
      end

      def report(error, task, step)
        return unless ::Rails.respond_to?(:error)

        reporter = ::Rails.error
        expected = SIGNALS.any? { |signal| error.is_a?(signal) }
        source = { source: SOURCE } if reporter.method(:report).parameters.include?(%i[key source])
        reporter.report(error, handled: expected, severity: expected ? :warning : :error,
                               context: context(task, step), **source.to_h)
      end

      def context(task, step)
        { task_id: task.task_id, template: task.name, step_id: step.step_id, step: step.name, attempt: step.attempt }
      end
    end
  end
end
