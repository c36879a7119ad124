# frozen_string_literal: true

# Greets.
class Greet < TaskerCore::StepHandler::Base
  def process(*)
    "hello"
  end
end
