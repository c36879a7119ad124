# frozen_string_literal: true

module TaskerCore
  module Records
    # What {Step}, {Attempt} and {Transition} can be asked for.
    module StepScopes
      # Steps of this name, and those that were added like it or are items of it.
      #
      # @param name [String, Symbol] such as "resize", or "resize[7]" for an item
      # @return [ActiveRecord::Relation]
      # @raise [InvalidArgument]
      # @example
      #   Attempt.named("charge_card").average(:execution_ms)
      def named(name)
        name = Internal::Check.text(name, "name")
        where(step_name: name).or(where(template_step: name))
      end
    end
  end
end
