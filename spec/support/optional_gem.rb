# frozen_string_literal: true

# For examples that need a gem which `bin/setup --tests` sees to.
module OptionalGem
  module_function

  # @param context [Module] an example group, whose examples are skipped where the gem is not there
  # @param name [String] what to require
  # @return [void]
  # @example
  #   OptionalGem.needed_by(self, "faraday")
  def needed_by(context, name)
    require name
  rescue LoadError
    context.before { skip "#{name} is not installed" }
  end
end
