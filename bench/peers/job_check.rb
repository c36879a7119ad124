# frozen_string_literal: true

module Bench
  # Whether jobs of another engine ran as they must: each once, and after those that it depends on.
  #
  # @example
  #   JobCheck.new(settings, [[0, "s0", 10, 20], [0, "s1", 30, 40]]).problems # => []
  class JobCheck
    # @param settings [Settings] what was to be done
    # @param jobs [Array<Array(Integer, String, Integer, Integer)>] number of the task, step, and begin and end in
    #   nanoseconds of the monotonic clock
    def initialize(settings, jobs)
      @settings = settings
      @jobs = jobs
    end

    # @return [Array<String>] what is wrong, in words; empty when nothing is
    def problems
      @by_step = @jobs.group_by { |task, step, *| [task, step] }
      [[wrong_numbers, "executed once"], [too_early, "executed after their parents"]]
        .reject { |found, _| found.empty? }
        .map { |found, rule| "jobs are #{rule}: #{found.size} are not, for instance #{found.first}" }
    end

    private

    def parents
      @parents ||= @settings.workload.parents(@settings.steps)
    end

    def wrong_numbers
      unknown = @by_step.keys.reject { |task, step| task.between?(0, @settings.tasks - 1) && parents.key?(step) }
      wanted = (0...@settings.tasks).to_a.product(parents.keys)
      (wanted + unknown).reject { |job| !unknown.include?(job) && times(job).size == 1 }
                        .map { |job| "#{name(job)} was executed #{times(job).size} times" }
    end

    def too_early
      @jobs.flat_map do |task, step, began, _ended|
        parents.fetch(step, []).reject { |parent| times([task, parent]).any? { |_, _, _, ended| ended <= began } }
               .map { |parent| "#{name([task, step])} began before step #{parent} had ended" }
      end
    end

    def times(job)
      @by_step.fetch(job, [])
    end

    def name(job)
      "step #{job.last} of task #{job.first}"
    end
  end
end
