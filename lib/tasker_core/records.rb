# frozen_string_literal: true

begin
  require "active_record"
rescue LoadError => e
  raise unless e.path == "active_record"

  raise LoadError, "tasker_core/records needs Active Record, which is not installed: add gem \"activerecord\", " \
                   "\">= 6.1\" to the Gemfile, or ask TaskerCore.list, status and result, which need none"
end
require_relative "../tasker_core"
require_relative "records/base"
require_relative "records/template_scopes"
require_relative "records/step_scopes"
require_relative "records/end_scopes"
require_relative "records/sealed"
require_relative "records/task"
require_relative "records/step"
require_relative "records/edge"
require_relative "records/attempt"
require_relative "records/transition"

module TaskerCore
  # Models of Active Record for reading what there is and what happened: {Task}, {Step}, {Attempt}, {Transition} and
  # {Edge}, each of one of the views in docs/reporting.md. A Rails application has them; elsewhere they are required by
  # themselves, `require "tasker_core/records"`: tasker_core does not load Active Record.
  #
  # They ask through a connection of Active Record's, by default that of `ActiveRecord::Base`.
  #
  # @example
  #   TaskerCore::Records::Task.of_template("order_fulfilment").in_state("error").submitted_after(1.day.ago)
  #                            .includes(steps: :attempts).each { |task| puts task.steps.map(&:step_name) }
  # @example in a database of their own
  #   TaskerCore::Records::Base.connects_to database: { writing: :tasker, reading: :tasker }
  module Records
  end
end
