# frozen_string_literal: true

require "json"

# A template as a native worker gives it out, piece by piece.
class TemplatePieces
  # @param definition [Hash{String => Object}] normalised
  def initialize(definition)
    @definition = definition
    @steps = definition.fetch("step_templates")
  end

  def template(_template_id)
    grows = @steps.any? { |step| step["dynamic"] || step["map"] }
    JSON.generate(@definition.except("step_templates").merge("grows" => grows))
  end

  def step_definition(_template_id, index)
    step = @steps.fetch(index)
    below = @steps.select { |other| other.fetch("depends_on_steps").include?(step.fetch("name")) }
    branches = step["decides"] ? below.map { |other| other.fetch("name") } : []
    JSON.generate(step.merge("branches" => branches))
  end

  def step_names(_template_id)
    JSON.generate(@steps.map { |step| step.fetch("name") })
  end
end
