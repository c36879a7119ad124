# frozen_string_literal: true

require "sidekiq"

# Sidekiq 6.4 makes redis 4.8 write several lines for each job, which would be measured.
Redis.silence_deprecations = true if defined?(Redis) && Redis.respond_to?(:silence_deprecations=)

module Bench
  # What was executed in this process: for each job its task, its step, and when it began and ended. Each thread notes
  # for itself, so that none is lost.
  module JobLog
    @cells = []

    class << self
      # Notes one job.
      #
      # @param job [Array(Integer, String, Integer, Integer)]
      # @return [void]
      def add(job)
        (Thread.current[:bench_jobs] ||= [].tap { |cell| @cells << cell }) << job
      end

      # @return [Integer]
      def size
        @cells.sum(&:size)
      end

      # @return [Array<Array(Integer, String, Integer, Integer)>]
      def to_a
        @cells.flatten(1)
      end
    end
  end

  # A step as users of Sidekiq write them: does nothing, then enqueues what comes after it. Where that waits for several
  # jobs, a counter in Redis says which of them is the last.
  class SidekiqJob
    include ::Sidekiq::Worker

    class << self
      # @return [Hash{String => Array<String>}] names of the parents by name of the step
      attr_reader :parents

      # @param parents [Hash{String => Array<String>}]
      # @return [void]
      def parents=(parents)
        @parents = parents
        @children = Hash.new { |children, name| children[name] = [] }
        parents.each { |name, above| above.each { |parent| @children[parent] << name } }
        @children.default_proc = nil
      end

      # @param step [String]
      # @return [Array<String>]
      def children(step)
        @children.fetch(step, [])
      end
    end

    # @param task [Integer]
    # @param step [String]
    # @return [void]
    def perform(task, step)
      began = now
      ended = now
      enqueue(task, ready(task, self.class.children(step)))
      JobLog.add([task, step, began, ended])
    end

    private

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
    end

    def enqueue(task, steps)
      return if steps.empty?
      return self.class.perform_async(task, steps.first) if steps.size == 1

      self.class.perform_bulk(steps.map { |step| [task, step] })
    end

    # Those whose last parent this was.
    def ready(task, steps)
      joins, others = steps.partition { |step| self.class.parents.fetch(step).size > 1 }
      joins.empty? ? others : others + last_of(task, joins)
    end

    def last_of(task, joins)
      counts = ::Sidekiq.redis do |redis|
        redis.pipelined { |pipeline| joins.each { |step| pipeline.incr("parents:#{task}:#{step}") } }
      end
      joins.zip(counts).filter_map { |step, count| step if count == self.class.parents.fetch(step).size }
    end
  end
end
