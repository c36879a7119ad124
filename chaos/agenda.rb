# frozen_string_literal: true

require_relative "anew"
require_relative "approval"
require_relative "budget"
require_relative "growth"
require_relative "nested"
require_relative "request"
require_relative "stale"
require_relative "wait"

module Chaos
  # What operators are to ask for which task, and when; from one seed.
  class Agenda
    # A request: seconds from the moment when the task was acknowledged. `needed`: until it is answered, because the
    # task does not end without it. `times`: how often, where it is answered.
    Plan = Struct.new(:after, :request, :needed, :times, keyword_init: true)

    # One in so many tasks is steered, each in one of these ways; one in so many is cancelled.
    STEERED = 5
    WAYS = %i[pause retry skip resolve].freeze
    CANCELLED = 30
    # Seconds from a task's beginning to what is asked for it, and from a pause to its end, at most.
    WITHIN = 1.5
    PAUSED = 2.5
    # Seconds from a task's beginning to a signal, at most. Some come before anybody waits, some after the end.
    SIGNALLED = 5.0
    # One in so many tasks is not sent the signal that its handlers wait for only for a time.
    SILENT = 3
    # One in so many signals is sent twice with its key.
    TWICE = 3
    # For one in so many tasks with a correlation key a signal is sent to all with the key.
    TO_ALL = 2
    # Seconds after which tasks are old, and from a task's beginning to when it has to end however old it is.
    OLD = (0.5..3.0)
    EXPIRED = (3.0..9.0)
    # Tasks whose steps have to be tried again, those of which that is done with all that have failed, and the seconds
    # from their beginning to that.
    FRAIL = ["frail", "picked", Nested::TEMPLATE].freeze
    ALL_FRAIL = "frail"
    MENDED = (0.5..3.0).freeze
    # One in so many tasks with a budget has it raised.
    RAISED = 2
    # Seconds from a task's beginning to when steps are executed anew, in it or in a fork: before its end, or after.
    ANEW = (0.2..4.0).freeze

    # @param seed [Integer]
    def initialize(seed)
      @random = Random.new(seed)
      @number = 0
    end

    # @param receipt [Receipt] of a task
    # @return [Array<Plan>] for it, or for it and others
    # @example
    #   Agenda.new(1).plans(receipt).map { |plan| plan.request.kind } # => [:signal, :signal]
    def plans(receipt)
      [*led(receipt), *own(receipt.template), cancellation, *steering].compact
    end

    private

    # What tasks wait for.
    def led(receipt)
      case receipt.template
      when Wait::TEMPLATE then [*signals, *signal_to_all(receipt.correlation)]
      when Approval::TEMPLATE then decisions
      when Stale::TEMPLATE then expiry
      end
    end

    def own(template)
      case template
      when *FRAIL then mending(template)
      when *Budget::ALL.keys then raising(template)
      when Anew::REDONE, Growth::TEMPLATE, Growth::REDONE then Array.new(2) { plan(:rerun, @random.rand(ANEW)) }
      when Anew::FORKED then [plan(:fork, @random.rand(ANEW), needed: true)]
      end
    end

    def signals
      needed = plan(:signal, @random.rand(SIGNALLED), needed: true, name: Wait::NEEDED, key: "once")
      needed.times = 2 if @random.rand(TWICE).zero?
      return [needed] if @random.rand(SILENT).zero?

      [needed, plan(:signal, @random.rand(SIGNALLED), name: Wait::POSSIBLE)]
    end

    def signal_to_all(correlation)
      return [] unless @random.rand(TO_ALL).zero?

      [plan(:signal_all, @random.rand(SIGNALLED), needed: true, name: Wait::POSSIBLE, correlation: correlation)]
    end

    # The last one, whenever it comes, means also those that are not old.
    def expiry
      [plan(:expire, @random.rand(SIGNALLED), older_than: @random.rand(OLD).round(1)),
       plan(:expire, @random.rand(EXPIRED), needed: true, older_than: 0)]
    end

    # The first one counts, and who decides later may say the contrary.
    def decisions
      Array.new(@random.rand(1..2)) do |number|
        plan(Approval::KINDS.sample(random: @random), @random.rand(SIGNALLED), needed: number.zero?)
      end
    end

    def mending(template)
      all = template == ALL_FRAIL
      [plan(:retry, @random.rand(MENDED)),
       all ? plan(:retry_all, @random.rand(MENDED), tag: template) : plan(:retry, @random.rand(MENDED))]
    end

    def raising(template)
      return [] unless @random.rand(RAISED).zero?

      [plan(:raise, @random.rand(MENDED), **Budget::RAISED.fetch(template))]
    end

    def cancellation
      plan(:cancel, @random.rand(WITHIN)) if @random.rand(CANCELLED).zero?
    end

    def steering
      return [] unless @random.rand(STEERED).zero?

      way = WAYS.sample(random: @random)
      after = @random.rand(WITHIN)
      [plan(way, after), (plan(:resume, after + @random.rand(PAUSED), needed: true) if way == :pause)]
    end

    def plan(kind, after, needed: false, **told)
      @number += 1
      told[:number] = @number if %i[signal signal_all].include?(kind)
      told[:key] = "fork #{@number}" if kind == :fork
      request = Request.new(kind: kind, actor: "operator #{@number}", told: told, calls: 0, ids: [])
      Plan.new(after: after, request: request, needed: needed, times: 1)
    end
  end
end
