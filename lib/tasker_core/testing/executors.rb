# frozen_string_literal: true

require_relative "../internal/step_plans"
require_relative "../jobs"
require_relative "inline/lent"
require_relative "surroundings"

module TaskerCore
  module Testing
    # In front of what says who executes a step: what a worker would hand to Active Job, the thread that tests executes,
    # as Active Job's adapter `:inline` would.
    module Executors
      # As {Internal::TemplateSteps#in_place_of}.
      #
      # @api private
      def in_place_of(handler_class, definition)
        case @native
        when Surroundings, Inline::Lent then Jobs::PerformStep.new(handler_class) if Jobs.job?(handler_class)
        else super
        end
      end
    end
  end
end

TaskerCore::Internal::TemplateSteps.class_eval { prepend TaskerCore::Testing::Executors }
