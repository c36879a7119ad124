# frozen_string_literal: true

require_relative "graphs"
require_relative "record"

module Chaos
  # Compares the {Record} of a task with what its handlers were to do: the promises of the engine, one method each.
  class Checker
    # States in which a task is over.
    OVER = %w[complete error cancelled].freeze
    # Outcomes of attempts whose handler ended and whose end was accepted.
    ACCEPTED = %w[succeeded retryable permanent].freeze
    # Outcomes of attempts whose handler may have ended, or begun, or not.
    CUT_OFF = %w[worker_died interrupted cancelled].freeze
    # Workers that die before a step is given up (the default of `crash_limit`).
    CRASH_LIMIT = 3
    # States that a step begins in.
    FIRST_STATES = %w[pending enqueued].freeze

    # @param receipts [Array<Load::Receipt>]
    # @param ids [Array<Integer>] tasks that are in the database
    # @return [Array<String>] one for each task that was acknowledged and is not there
    # @example
    #   Checker.lost([Load::Receipt.new(7, 1)], []) # => ["task 7: it was acknowledged and is not there"]
    def self.lost(receipts, ids)
      (receipts.map(&:task_id) - ids).map { |id| "task #{id}: it was acknowledged and is not there" }
    end

    # @param record [Record]
    def initialize(record)
      @record = record
      @steps = record.steps.to_h { |step| [step.name, step] }
      @parents = Graphs::ALL.fetch(record.template)
    end

    # @return [Array<String>] what is wrong, with the ids of task and step; [] if nothing is
    # @example
    #   Checker.new(record).violations # => ["task 7, step 7340032 (s0): it was completed 2 times"]
    def violations
      @violations = []
      check_task
      (@parents.keys - @steps.keys).each { |name| tell("it has no #{name}") }
      @steps.each { |name, step| check_step(step, @parents.fetch(name)) }
      @violations
    end

    private

    def check_task
      return tell("it has not ended: it is #{@record.state}") unless OVER.include?(@record.state)

      allowed = allowed_states
      tell("it is #{@record.state}, not #{allowed.join(" or ")}") unless allowed.include?(@record.state)
    end

    def allowed_states
      own = Graphs.task_state(@record.template, expected)
      asked = @record.receipt&.cancelled
      return ["cancelled"] if asked == :acknowledged

      asked == :unsure || @record.deadline ? [own, "cancelled"] : [own]
    end

    # States of the steps where nobody cancels.
    def expected
      @expected ||= Graphs.states(@record.template, @record.seed,
                                  crashed: @record.steps.select(&:crashed?).map(&:name))
    end

    def check_step(step, parents)
      check_state(step)
      check_completions(step)
      check_chain(step)
      check_numbers(step)
      check_crashes(step)
      step.ends.each { |ended| check_end(step, ended) }
      check_executions(step)
      check_order(step, parents)
    end

    def check_state(step)
      allowed = [expected.fetch(step.name), *("cancelled" if @record.state == "cancelled")]
      tell("it is #{step.state}, not #{allowed.join(" or ")}", step) unless allowed.include?(step.state)
    end

    def check_completions(step)
      times = step.transitions.count { |transition| transition.to == "complete" }
      return if times == (step.state == "complete" ? 1 : 0)

      tell("it is #{step.state} and was completed #{times} times", step)
    end

    def check_chain(step)
      check_ends_of_chain(step)
      step.transitions.each_cons(2) do |one, other|
        tell("its history has a gap: to #{one.to}, from #{other.from}", step) unless one.to == other.from
      end
    end

    # A step that nothing happened to is in one of its first states.
    def check_ends_of_chain(step)
      first, last = step.transitions.values_at(0, -1)
      begins = first ? first.from : step.state
      ends = last ? last.to : step.state
      tell("its history begins with #{begins}", step) unless FIRST_STATES.include?(begins)
      tell("its history ends with #{ends}, it is #{step.state}", step) unless ends == step.state
    end

    def check_numbers(step)
      numbers = step.ends.map(&:attempt)
      return if numbers == (1..step.attempts).to_a

      tell("its attempts are #{numbers}, it counts #{step.attempts}", step)
    end

    def check_crashes(step)
      died = step.ends.count { |ended| ended.outcome == "worker_died" }
      return unless died > CRASH_LIMIT || step.crashed? != (died == CRASH_LIMIT)

      tell("#{died} workers died, it was#{" not" unless step.crashed?} given up for that", step)
    end

    def check_end(step, ended)
      return check_accepted(step, ended) if ACCEPTED.include?(ended.outcome)

      tell("attempt #{ended.attempt} ended as #{ended.outcome}", step) unless CUT_OFF.include?(ended.outcome)
    end

    def check_accepted(step, ended)
      outcomes = step.executions.select { |execution| execution.attempt == ended.attempt }.map(&:outcome)
      check_results(step, ended)
      return if outcomes.include?(ended.outcome)

      told = outcomes.empty? ? "not there" : outcomes.map { |outcome| outcome || "cut off" }.join(", ")
      tell("attempt #{ended.attempt} is #{ended.outcome}; by the ledger it is #{told}", step)
    end

    # What is kept is what the attempt returned whose end was accepted.
    def check_results(step, ended)
      return if ended.to != "complete" || step.results == { "attempt" => ended.attempt }

      tell("attempt #{ended.attempt} completed it, its results are #{step.results.inspect}", step)
    end

    def check_executions(step)
      known = step.ends.map(&:attempt)
      step.executions.group_by(&:attempt).each do |attempt, executions|
        tell("attempt #{attempt} was executed and is not in its history", step) unless known.include?(attempt)
        tell("attempt #{attempt} was executed #{executions.size} times", step) if executions.size > 1
      end
    end

    def check_order(step, parents)
      step.executions.each do |execution|
        complete, others = parents.partition { |name| completed_before?(execution, @steps[name]) }
        failed = others.count { |name| @steps[name]&.state == "error" }
        next if Join.of(step.name).enough?(complete.size, failed, parents.size)

        tell("attempt #{execution.attempt} began before #{others.join(", ")} completed", step)
      end
    end

    def completed_before?(execution, parent)
      ended = parent&.completion&.finished_ns
      ended && ended <= execution.started_ns
    end

    def tell(what, step = nil)
      where = step ? ", step #{step.id} (#{step.name})" : ""
      @violations << "task #{@record.id}#{where}: #{what}"
    end
  end
end
