# frozen_string_literal: true

require_relative "../tasker_core"

# The names of the Rails engine Tasker, so that handlers, task handlers, templates and subscribers that were written for
# it run unchanged (docs/compat.md). Loaded by `require "tasker_core/compat"` only.
module Tasker
end

require_relative "compat/errors"
require_relative "compat/constants"
require_relative "compat/event"
require_relative "compat/publisher"
require_relative "compat/base_subscriber"
require_relative "compat/step_handler"
require_relative "compat/api"
require_relative "compat/types"
require_relative "compat/task"
require_relative "compat/handler_factory"
require_relative "compat/task_handler"
require_relative "compat/configured_task"
require_relative "internal/application_templates"

# In the folder of an application's templates the engine has those of subscriptions and of event catalogues.
TaskerCore::Internal::ApplicationTemplates.left_out = %w[events subscriptions].freeze
TaskerCore::Internal::ApplicationTemplates.made_by_class = Tasker::ConfiguredTask.method(:made_of)
