# frozen_string_literal: true

require_relative "executions"

module Chaos
  module Judges
    # A step looks for what it polls for until its time is over, once more then, and gives up.
    class Polls < Judge
      # Seconds by which the server's clock, which decides, and the machine's may differ over a few seconds.
      TOLERANCE = 0.05
      # Seconds between a change of a step whose time is over and the next one, at most: as long as a run waits for any
      # change in the end. Two connections of a worker that are silent, one after the other, take 45.
      LATE = 90
      # The exception by which such a step fails, and how one fails: once, for good.
      ERROR = "TaskerCore::PollTimeout"
      GIVEN_UP = %w[error failed_permanently permanent].push(ERROR).freeze
      # What a handler made that failed by it.
      NOTHING = { "timed_out" => true }.freeze

      private

      def judge
        @steps.each_value do |step|
          poll = Poll.of(record.seed, step.name)
          step.ends.each { |ended| judge_end(step, poll, ended) }
          judge_poll(step, poll) if poll
        end
      end

      def judge_poll(step, poll)
        timed_out = step.executions.select { |look| look.product && look.product["timed_out"] }
        timed_out.each { |look| judge_timeout(step, poll, look) }
        judge_limit(step, poll) if poll.timeout
      end

      def judge_end(step, poll, ended)
        how = [ended.to, ended.event, ended.outcome, ended.error]
        if poll && step.execution(ended.attempt)&.product == NOTHING
          judge_given_up(step, ended, how)
        elsif ended.error == ERROR
          tell("attempt #{ended.attempt} did not give up, and ended as #{how.join(", ")}", step)
        end
      end

      # One that lost its worker has ended as no handler decided.
      def judge_given_up(step, ended, how)
        return if how == GIVEN_UP || Executions::CUT_OFF.include?(ended.outcome)

        tell("attempt #{ended.attempt} gave up, and ended as #{how.compact.join(", ")}", step)
      end

      def judge_timeout(step, poll, look)
        return tell("attempt #{look.attempt} timed out, it has no limit", step) unless poll.timeout

        first = first_look(step, look) or return tell("attempt #{look.attempt} timed out at its first look", step)
        early = poll.timeout - ((look.finished_ns - first.started_ns) / 1e9)
        tell(format("attempt #{look.attempt} timed out %.3f s too early", early), step) if early > TOLERANCE
        looks = looks(step, look)
        return if looks < poll.looks

        tell("attempt #{look.attempt} timed out at look #{looks}, it is true at #{poll.looks}", step)
      end

      # From which the time counts.
      def first_look(step, before)
        first = step.execution(first_wait(step, before)&.attempt)
        first if first&.finished_ns && first.finished_ns < before.finished_ns
      end

      # Since an operator had it tried again.
      def first_wait(step, before)
        changes = step.tries.reverse_each.find { |one| one.first.attempt.to_i < before.attempt } or return
        changes.find { |change| change.event == "went_waiting" }
      end

      # That have been counted for sure.
      def looks(step, look)
        step.executions.count { |one| one.equal?(look) || (one.finished_ns || look.started_ns) < look.started_ns }
      end

      def judge_limit(step, poll)
        step.tries.each do |changes|
          waiting = changes.drop_while { |change| change.event != "went_waiting" }
          waiting.each_cons(2) do |last, change|
            judge_late(step, change, [last.at, waiting.first.at + poll.timeout].max)
            judge_wait(step, poll, step.execution(change.attempt)) if change.event == "went_waiting"
          end
        end
      end

      # Nobody goes on with it while its task is paused.
      def judge_late(step, change, since)
        return unless change.outcome || change.event == "claimed"

        resumed = record.transitions.select { |one| one.from == "paused" && one.at <= change.at }
        late = change.at - [since, *resumed.map(&:at)].max
        return if late <= LATE

        tell(format("attempt #{change.attempt}: %.1f s without a change, its time was over", late), step)
      end

      def judge_wait(step, poll, look)
        first = look&.finished_ns && first_look(step, look) or return
        late = ((look.started_ns - first.finished_ns) / 1e9) - poll.timeout
        return if late <= TOLERANCE

        tell(format("attempt #{look.attempt} waited again, its time had been over for %.3f s", late), step)
      end
    end
  end
end
