# frozen_string_literal: true

require_relative "../../chaos/expectation"

module Chaos
  # What handlers of a {Play} wait for, and what they are told in the end.
  module PlayedWaits
    private

    def told(step)
      nested = Nested.of(@seed, step.name)
      return ran(step) if nested
      return { "from" => 0, "tried" => Batch::SIZE, "kept" => Batch::SIZE } if Batch.of(step.name)

      poll = Poll.of(@seed, step.name)
      return look(step, poll.looks) if poll
      return decided(step) if Approval.of(@seed, step.name)

      wait(step, Wait.of(@seed, step.name))
    end

    def ran(step)
      claim(step).outcome = "waiting"
      move(step, "waiting", "went_waiting", "waiting")
      move(step, "enqueued", "signalled")
      results = { "last" => { "attempt" => 1 } }
      @children << Record::Child.new(task_id: 9 + @children.size, step: step.name, state: "complete", generation: 1,
                                     results: results)
      { "ran" => results }
    end

    def look(step, looks)
      (looks - 1).times do |number|
        claim(step).outcome = "waiting"
        move(step, "waiting", "went_waiting", "waiting")
        @now_ns += (Poll.of(@seed, step.name).interval(number) * 1_000_000_000).round
      end
      { "looks" => looks }
    end

    def decided(step)
      claim(step).outcome = "waiting"
      move(step, "waiting", "went_waiting", "waiting")
      move(step, "enqueued", "signalled")
      decision = { "approved" => true, "by" => "mara", "comment" => "chaos" }
      @signals << Record::Signal.new(id: @signals.size + 1, name: step.name, payload: decision)
      { "decision" => decision }
    end

    def wait(step, wait)
      return {} unless wait

      execution = claim(step)
      execution.outcome = "waiting"
      @now_ns += (wait.seconds * 1_000_000_000).round if wait.seconds
      move(step, "waiting", "went_waiting", "waiting")
      return { "slept" => wait.seconds } unless wait.signal

      move(step, "enqueued", "signalled")
      { "signal" => signal(wait.signal) }
    end

    def signal(name)
      unless @signals.any? { |signal| signal.name == name }
        @signals << Record::Signal.new(id: @signals.size + 1, name: name, payload: { "number" => @signals.size + 1 })
      end
      @signals.find { |signal| signal.name == name }.payload
    end
  end
end
