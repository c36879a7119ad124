# frozen_string_literal: true

require_relative "undo"

# Runs the engine under faults, and checks what it did.
module Chaos
  # Which ends of its parents a step waits for: as the template says it (`key`), how many of them have to be complete at
  # least (nil: all), and how the others may have ended (nil: they need not have).
  #
  # A parent is :complete, :skipped, :failed or :open, as the child sees it.
  Join = Struct.new(:key, :least, :others, keyword_init: true) do
    # @param parents [Array<Symbol>]
    # @return [Symbol] :ready; :skip, it can be so no more; or :wait
    def verdict(parents)
      return :ready if ready?(parents)

      (parents - %i[complete skipped]).empty? ? :skip : :wait
    end

    # @param parents [Array<Symbol>]
    # @return [Boolean] whether the step starts
    def ready?(parents)
      parents.count(:complete) >= (least || parents.size) && (others.nil? || (parents - [:complete, *others]).empty?)
    end
  end

  # That of a step that the template says nothing about.
  Join::DEFAULT = Join.new.freeze
  # Steps that the joins depend on: so many that one of them fails in some tasks.
  Join::PARTS = Array.new(12) { |number| "s#{number}" }.freeze
  ALL_DONE = Join.new(key: "all_done", least: 0, others: %i[failed skipped]).freeze
  ANY_COMPLETE = Join.new(key: "any_complete", least: 1).freeze
  NONE_FAILED = Join.new(key: "none_failed", least: 1, others: [:skipped]).freeze
  private_constant :ALL_DONE, :ANY_COMPLETE, :NONE_FAILED

  # By the name of the step.
  Join::ALL = { "all_done" => ALL_DONE, "tolerant" => ALL_DONE, "settled" => ALL_DONE,
                "despite" => ALL_DONE,
                "any_complete" => ANY_COMPLETE, "any" => ANY_COMPLETE,
                "none_failed" => NONE_FAILED, "merge" => NONE_FAILED, "merged" => NONE_FAILED,
                "undo packed" => ALL_DONE, "undo paid" => ALL_DONE, Undo::ALL_UNDONE => NONE_FAILED,
                "quorum" => Join.new(key: { quorum: 11 }, least: 11).freeze }.freeze
  # Names of the parents by name of the step, parents first.
  Join::GRAPH = { **Join::PARTS.to_h { |name| [name, []] },
    **%w[all_done any_complete none_failed quorum].to_h { |name| [name, Join::PARTS] },
    "last" => %w[all_done any_complete] }.freeze

  # @param step [String] name of a step
  # @return [Join]
  # @example
  #   Join.of("s0").ready?(%i[complete]) # => true
  def Join.of(step)
    self::ALL.fetch(step, self::DEFAULT)
  end
end
