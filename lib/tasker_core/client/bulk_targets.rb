# frozen_string_literal: true

require "json"
require_relative "../internal/bulk"
require_relative "../internal/check"
require_relative "../internal/task_filter"

module TaskerCore
  class Client
    # Which steps and tasks a bulk request means.
    module BulkTargets
      # By what tasks are chosen, beside how old they are.
      OF_TASKS = Internal::TaskFilter::KEYS
      # What every bulk request takes.
      OF_REQUESTS = %i[rate dry_run actor reason].freeze

      private

      def undone?(status)
        !self.status(status.task_id).compensated_by.nil?
      rescue NotFound
        true
      end

      # Filters for tasks in these states, or in that of them which is asked for.
      def filters_of(states, state)
        state = Internal::Check.choice(state, "state", states)
        (state ? [state] : states).map { |one| { state: one, unfinished: false } }
      end

      # What can be done nothing about is not meant: its task is undone.
      def targets_after(before, filter, batch)
        failures_after(before, filter, batch).lazy.reject { |failure| failure.remedies.empty? }.map do |failure|
          seen = JSON.generate(step_id: failure.step_id, transition_id: failure.transition_id)
          Internal::Bulk::Target.new(task_id: failure.task_id, step: failure.step, step_id: failure.step_id, seen: seen)
        end
      end

      # Those that a filter means and options choose, a page at a time.
      def tasks(batch, only, filter, older_than: nil, **chosen)
        Internal::Check.keywords(chosen, OF_TASKS, [:older_than, *OF_REQUESTS])
        before_time = older_than && (Time.now - Internal::Check.age(older_than, "older_than"))
        filter = { **chosen, **filter, requested_before: before_time, limit: batch }
        Enumerator.new do |targets|
          before = nil
          loop do
            page = list(**filter, before: before)
            page.each do |status|
              targets << Internal::Bulk::Target.new(task_id: status.task_id) if only.nil? || only.call(status)
            end
            break if page.size < batch

            before = page.last.task_id
          end
        end
      end
    end
  end
end
