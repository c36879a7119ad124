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
      return look(step, poll) if poll
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

    def look(step, poll)
      first = nil
      (poll.looks - 1).times do |number|
        return give_up_looking(step, poll) if first && over?(poll, first)

        claim(step).outcome = "waiting"
        move(step, "waiting", "went_waiting", "waiting")
        first ||= @now_ns
        pause(poll.interval(number, (@now_ns - first) / 1e9))
      end
      { "looks" => poll.looks }
    end

    # Whether it will be when another attempt has looked.
    def over?(poll, first_ns)
      poll.timeout && (@now_ns + (2 * Play::STEP_NS) - first_ns) / 1e9 >= poll.timeout
    end

    def give_up_looking(step, poll)
      return Judges::Polls::NOTHING unless poll.strict

      execution = claim(step)
      execution.outcome = "permanent"
      execution.product = Judges::Polls::NOTHING
      move(step, "error", "failed_permanently", "permanent")
      step.transitions.last.error = Judges::Polls::ERROR
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
