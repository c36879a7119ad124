# frozen_string_literal: true

# Runs the engine under faults, and checks what it did.
module Chaos
  # Which ends of its parents a step waits for: as the template says it (`key`), how many of them have to be complete
  # (`wanted`, all where nil), and whether those that failed count as well.
  Join = Struct.new(:key, :wanted, :failures_count, keyword_init: true) do
    # @param parents [Array<String>] states in which they ended
    # @return [Boolean] whether the step starts
    def satisfied?(parents)
      enough?(parents.count("complete"), parents.count("error"), parents.size)
    end

    # @param complete [Integer] parents that are complete
    # @param failed [Integer] parents in error
    # @param all [Integer] parents
    # @return [Boolean]
    def enough?(complete, failed, all)
      return complete + failed == all if failures_count

      complete >= (wanted || all)
    end
  end

  # That of a step that the template says nothing about.
  Join::DEFAULT = Join.new.freeze
  # Steps that the joins depend on: so many that one of them fails in some tasks.
  Join::PARTS = Array.new(12) { |number| "s#{number}" }.freeze
  # By the name of the step.
  Join::ALL = { "all_done" => Join.new(key: "all_done", failures_count: true),
                "any_complete" => Join.new(key: "any_complete", wanted: 1),
                "none_failed" => Join.new(key: "none_failed"),
                "quorum" => Join.new(key: { quorum: 11 }, wanted: 11) }.each_value(&:freeze).freeze
  # Names of the parents by name of the step, parents first.
  Join::GRAPH = { **Join::PARTS.to_h { |name| [name, []] }, **Join::ALL.transform_values { Join::PARTS },
    "last" => %w[all_done any_complete] }.freeze

  # @param step [String] name of a step
  # @return [Join]
  # @example
  #   Join.of("s0").satisfied?(%w[complete]) # => true
  def Join.of(step)
    self::ALL.fetch(step, self::DEFAULT)
  end
end
