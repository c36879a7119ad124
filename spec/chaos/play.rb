# frozen_string_literal: true

require_relative "../../chaos/attachment"
require_relative "../../chaos/expectation"
require_relative "played_failures"
require_relative "played_waits"

# Runs the engine under faults, and checks what it did.
module Chaos
  # What is known of a task that nothing befell: each step is executed in its turn, as its handler decides.
  class Play
    include PlayedFailures
    include PlayedWaits

    # Nanoseconds that each execution takes, and that lie between two.
    STEP_NS = 10_000_000
    # States of the steps of a task that is undone.
    ORIGINAL = { "paid" => "complete", "noted" => "complete", "packed" => "complete", "frail" => "error" }.freeze

    # The first seed whose record is as the block wants it.
    #
    # @param template [String] its name
    # @yieldparam record [Record]
    # @return [Record]
    def self.of(template)
      (0..).each do |seed|
        record = new(template, seed).record
        return record if yield record
      end
    end

    # @param template [String] its name
    # @param seed [Integer]
    def initialize(template, seed)
      @template = template
      @seed = seed
      @id = 0
      @now_ns = 0
      @states = {}
      @results = {}
      most = Budget::ALL[template] or return
      @budget = Record::Budget.new(max_attempts: most[:attempts], max_cost: most[:cost] && (most[:cost] * 1e6).to_i,
                                   attempts: 0, spent: 0, reserved: 0)
    end

    # @return [Record]
    def record
      record = Record.new(id: 7, template: @template, seed: @seed, requested_at: 0.0, signals: @signals = [],
                          children: @children = [], receipt: Receipt.new(7, @template, @seed, []))
      record.original = ORIGINAL if @template == Undo::UNDOING
      record.steps = graph.each_with_index.map { |(name, parents), index| step(name, parents, index) }
      record.budget = @budget
      record.state = Expectation.new(record).task_state
      record.transitions = [change("pending", "in_progress", "started"),
                            change("in_progress", record.state, record.state == "complete" ? "completed" : "failed")]
      record.undone_by = undone?(record) ? [8] : []
      record
    end

    private

    # With the steps that are added.
    def graph
      graph = Graphs::ALL.fetch(@template)
      return graph unless Growth::GRAPHS.key?(@template) && Behaviour.of(@seed, graph.keys.first).state == "complete"

      map = Growth::MAPS[@template]
      return Growth.with_items(graph, map, Growth.items(map, @seed)) if map

      Growth.with_added(graph, Growth.added(@seed, Growth::ADDS))
    end

    def undone?(record)
      @template == Undo::TEMPLATE && record.state == "error" && record.step(Undo::STEPS.first).state == "complete"
    end

    def step(name, parents, index)
      step = Record::Step.new(id: (7 << 20) + index, name: name, attempts: 0, transitions: [], executions: [], kept: [],
                              artifacts: {}, effects: [], state: parents.empty? ? "enqueued" : "pending")
      case Join.of(name).verdict(parents.map { |parent| seen(parent, name) })
      when :skip then move(step, "skipped", "skipped")
      when :ready then start(step, parents)
      end
      @states[name] = step.state
      step
    end

    def seen(parent, child)
      seen = Expectation::SEEN.fetch(@states.fetch(parent), :open)
      return :skipped if seen == :complete && !Branches.taken_by?(@seed, parent, child)

      taken = Branches.taken(@seed, parent)
      seen == :complete && taken && !taken.include?(child) ? :skipped : seen
    end

    def start(step, parents)
      @now_ns += (Wait::DELAYS.fetch(step.name, 0) * 1_000_000_000).round
      results = @results.slice(*parents)
      met = Branches.met?(@seed, step.name, parents.to_h { |parent| [parent, results.fetch(parent, {})] })
      return fail_untold(step) if met.nil?
      return leave_out(step) unless met

      map = Growth.map(step.name)
      return list(step, map) if map

      Growth.item?(step.name) && too_many_failed? ? give_up(step) : execute(step)
    end

    def execute(step)
      told = told(step)
      until %w[complete error].include?(step.state) || out_of_budget?(step)
        attempt(step, told)
        told["from"] = told["kept"] if told.key?("kept")
      end
    end

    def out_of_budget?(step)
      return false unless @budget && !within_budget?

      move(step, "enqueued", "parents_completed") if step.state == "pending"
      move(step, "error", "budget_exhausted")
      @budget.exhausted = @budget.max_cost ? "cost" : "attempts"
    end

    def within_budget?
      left?(@budget.max_attempts, @budget.attempts, 1) && left?(@budget.max_cost, @budget.spent, Budget::COST)
    end

    def left?(most, used, wanted)
      most.nil? || used + wanted <= most
    end

    # An empty one is done at once.
    def list(step, map)
      step.attempts += 1 if (empty = Growth.items(map, @seed).empty?)
      move(step, "in_progress", "claimed")
      return move(step, "complete", "succeeded", "succeeded") if empty

      move(step, "pending", "mapped")
      move(step, *(too_many_failed? ? %w[error items_failed] : %w[complete items_done]))
    end

    def failed_items
      @states.count { |step, state| state == "error" && Growth.item?(step) }
    end

    def too_many_failed?
      most = Growth::MAPS.fetch(@template).tolerate
      most && failed_items > most
    end

    def fail_untold(step)
      step.attempts += 1
      move(step, "in_progress", "claimed")
      move(step, "error", "failed_permanently", "permanent")
      step.transitions.last.error = Judges::Executions::UNTOLD
    end

    def give_up(step)
      move(step, "in_progress", "claimed")
      move(step, "error", "item_given_up")
    end

    def leave_out(step)
      move(step, "in_progress", "claimed")
      move(step, "skipped", "condition_unmet")
    end

    def attempt(step, told)
      behaviour = Behaviour.of(@seed, step.name)
      execution = claim(step)
      execution.outcome = behaviour.outcome(step.attempts)
      execution.product = { "attempt" => step.attempts }.merge(told)
      case execution.outcome
      when "succeeded" then complete(step, execution)
      when "permanent" then move(step, "error", "failed_permanently", "permanent")
      when "retryable" then retry_later(step, execution)
      end
    end

    def complete(step, execution)
      taken = Branches.told(@seed, step.name)
      move(step, "complete", "succeeded", "succeeded", taken && { "took" => taken })
      step.results = execution.product
      step.effects << step.attempts if Effects.of?(step.name)
      @results[step.name] = step.results
    end

    def claim(step)
      step.attempts += 1
      @budget.attempts += 1 if @budget
      @budget.spent += Budget::COST if @budget && Budget.cost(step.name)
      move(step, "in_progress", "claimed")
      execution = Record::Execution.new(attempt: step.attempts, pid: 1, started_ns: @now_ns += STEP_NS,
                                        finished_ns: @now_ns += STEP_NS)
      step.executions << execution
      step.artifacts[step.attempts] = Attachment.of(@seed, step.name, step.attempts)
      execution
    end

    def move(step, state, event, outcome = nil, detail = nil)
      step.transitions << change(step.state, state, event, attempt: step.attempts, outcome: outcome,
                                                           detail: detail)
      step.state = state
    end

    def change(from, to, event, **rest)
      Record::Transition.new(id: @id += 1, from: from, to: to, event: event, at: @now_ns / 1e9, **rest)
    end
  end
end
