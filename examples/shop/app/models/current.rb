# frozen_string_literal: true

# What is at hand during a request, and in the steps of the tasks that it submits.
class Current < ActiveSupport::CurrentAttributes
  attribute :ip
end
