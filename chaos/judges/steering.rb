# frozen_string_literal: true

require_relative "judge"

module Chaos
  module Judges
    # What operators asked for took place where that was acknowledged, did not where it was refused, and nothing took
    # place that nobody asked for.
    class Steering < Judge
      # Event of a task => kind of request.
      TASK_EVENTS = { "cancelled" => :cancel, "paused" => :pause, "resumed" => :resume,
                      "budget_raised" => :raise }.freeze
      # Event of a step => kind of request.
      EVENTS = { "retried" => :retry, "resolved_manually" => :resolve, "skipped" => :skip,
                 **Record::ANEW.to_h { |event| [event, :rerun] } }.freeze
      # What is meant by a request of another kind: who raises a budget has the steps tried again that it kept from
      # starting.
      MEANT = { raise: %i[raise retry], retry_all: [:retry], expire: [:cancel] }.freeze
      # Kinds of requests that have other steps follow than that which they name.
      WIDE = [:rerun].freeze
      # State in which an acknowledged request leaves the step, for good.
      STATES = { skip: "skipped", resolve: "resolved_manually" }.freeze
      # State before an acknowledged request, and its event.
      AGAIN = { retry: %w[error retried], rerun: %w[complete rerun] }.freeze

      private

      def judge
        @requests = record.requests.to_h { |request| [request.actor, request] }
        record.transitions.each { |change| judge_change(change, kind_of(change)) }
        @steps.each_value do |step|
          step.transitions.each { |change| judge_change(change, EVENTS[change.event], step) }
          judge_twice(step)
          judge_resolution(step)
        end
        record.requests.each { |request| judge_request(request) if request.acknowledged? }
      end

      # What a task waits for has it go on as well.
      def kind_of(change)
        TASK_EVENTS[change.event] unless change.event == "resumed" && change.actor.nil?
      end

      # Steps are skipped also because their parents were, or were in the task of which this one is a fork; who steers a
      # step that runs a task steers the task.
      def by_the_engine?(change)
        return change.event == "skipped" if change.actor.nil?
        return true if change.copied?

        change.actor == record.parent&.actor
      end

      def judge_change(change, kind, step = nil)
        return if kind.nil? || by_the_engine?(change)
        return judge_release if change.actor == Request::RELEASER

        request = @requests[change.actor]
        if !asked?(request, kind, step)
          tell("nobody asked for #{change.event} by #{change.actor.inspect}", step)
        elsif !request.possible?
          tell("#{change.event} by #{change.actor} took place, it was refused", step)
        end
      end

      # Who paused it knew of that when he had it go on.
      def judge_release
        asked = record.requests.select(&:acknowledged?).to_h { |request| [request.kind, request] }
        return unless asked[:pause] && asked[:resume]

        tell("its pause was acknowledged, then its end by #{asked[:resume].actor}; it stayed paused")
      end

      def asked?(request, kind, step)
        return false unless request
        return MEANT[request.kind].include?(kind) if MEANT.key?(request.kind)

        request.kind == kind && (step.nil? || WIDE.include?(kind) || concerned(request).include?(step))
      end

      # The steps that a request means: all where it names none; with a list that is tried again its items are.
      def concerned(request)
        return @steps.values unless request.step

        items = request.kind == :retry ? "#{request.step}[" : nil
        @steps.values.select { |step| step.name == request.step || (items && step.name.start_with?(items)) }
      end

      def judge_twice(step)
        actors = step.transitions.filter_map { |change| change.actor if EVENTS.key?(change.event) }
        actors.tally.select { |actor, times| times > most(actor) }.each do |actor, times|
          tell("what #{actor} asked for took place #{times} times", step)
        end
      end

      # Each time that the step is tried again that runs the task, what failed of it is.
      def most(actor)
        actor == record.parent&.actor ? record.parent.retries : 1
      end

      def judge_resolution(step)
        change = step.resolution or return
        request = @requests[change.actor] or return
        actor = change.actor
        if step.results != { "by" => actor }
          tell("its results are not those of #{actor}: #{step.results.inspect}",
               step)
        end
        judge_taken(step, request, change)
      end

      # Where he does not say it, the conditions on the edges do.
      def judge_taken(step, request, change)
        asked = Branches::DECISIONS.key?(step.name) ? request.told[:take] : Branches.told(record.seed, step.name)
        told = change.detail["took"]
        tell("#{request.actor} took #{asked.inspect}, by the history #{told.inspect}", step) if asked != told
      end

      def judge_request(request)
        step = request.step && @steps[request.step]
        case request.kind
        when *STATES.keys then judge_state(request, step)
        when *AGAIN.keys then judge_again(request, step, *AGAIN.fetch(request.kind))
        when :retry_all then judge_failed(request)
        when :pause, :raise then judge_note(request)
        end
      end

      def judge_state(request, step)
        return if step.state == STATES.fetch(request.kind) || step.redone.any?

        tell("#{request.kind} by #{request.actor} was acknowledged, it is #{step.state}", step)
      end

      def judge_note(request)
        return if record.transitions.any? { |change| change.actor == request.actor }

        tell("its #{request.kind} by #{request.actor} was acknowledged, and did not take place")
      end

      def unsure(kind)
        record.requests.select { |request| request.kind == kind && request.answer == :unsure }
      end

      # Of a step in that state; another request of that kind, whose answer was lost, may have come between.
      def judge_again(request, step, state, event)
        return unless request.seen == state

        actors = [request, *unsure(request.kind), *unsure(:raise), *unsure(:rerun), *unsure(:retry_all)].map(&:actor)
        changes = concerned(request).flat_map(&:transitions).select { |change| [event, "rerun"].include?(change.event) }
        return if changes.any? { |change| actors.include?(change.actor) }

        tell("its #{request.kind} by #{request.actor} was acknowledged, and did not take place", step)
      end

      # All that had failed before are tried again, but for those with which something else was done.
      def judge_failed(request)
        actors = [request, *record.requests.select { |other| other.answer == :unsure }].map(&:actor)
        failed = @steps.values.select { |step| request.seen.include?(step.id) }
        failed.reject { |step| step.transitions.any? { |change| actors.include?(change.actor) } }
              .each { |step| tell("it had failed before #{request.actor} had all tried again, and was not", step) }
      end
    end
  end
end
