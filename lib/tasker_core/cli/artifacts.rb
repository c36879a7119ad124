# frozen_string_literal: true

require "json"
require_relative "command"
require_relative "format"

module TaskerCore
  class CLI
    # `tasker artifacts`: what handlers attached to the attempts of a task.
    class Artifacts < Command
      NAME = "artifacts"
      SUMMARY = "list what handlers attached to the attempts of a task"
      ARGUMENTS = %w[ID [STEP]].freeze
      EXAMPLES = ["tasker artifacts 42", "tasker artifacts 42 build_report --json"].freeze

      # Titles of the columns.
      HEADER = %w[STEP TRY NAME TYPE CONTENT].freeze

      # Writes the artifacts.
      #
      # @param id [String] task id
      # @param step [String, nil] name of a step
      # @return [Integer] exit status
      def call(id, step = nil)
        task_id = id_from(id)
        artifacts = connected { |client| client.artifacts(task_id, step: step) }
        json? ? output.json(artifacts.map(&:to_h)) : show(artifacts)
        OK
      end

      private

      def define_options(parser)
        json_option(parser)
      end

      def show(artifacts)
        return output.line("no artifacts") if artifacts.empty?

        output.table(HEADER, artifacts.map { |one| row(one) }, right: [1])
      end

      def row(artifact)
        content = artifact.uri ? Format.clean(artifact.uri) : Format.json_line(artifact.json)
        [Format.clean(artifact.step_name), artifact.attempt, Format.clean(artifact.name),
         Format.clean(artifact.media_type), content]
      end
    end
  end
end
