# frozen_string_literal: true

require "tasker_core"
require_relative "background"
require_relative "caller"
require_relative "clock"
require_relative "graphs"
require_relative "request"

module Chaos
  # Makes tasks all the time, through the connections that faults happen to, and remembers what was acknowledged. In the
  # end, tasks with a key are submitted until that was answered.
  class Load
    include Background

    # Most tasks that are made at once.
    MOST_AT_ONCE = 12
    # One in so many rounds makes many tasks at once; one in so many, tasks with a deadline; one in so many, a task with
    # an idempotency key.
    BULK = 8
    HURRIED = 20
    KEYED = 5
    # Templates of tasks that wait for an operator, who needs an answer to know of them.
    LED = [Wait::TEMPLATE, Approval::TEMPLATE, Stale::TEMPLATE].freeze
    # So many tasks that wait have a correlation key in common.
    CORRELATED = 3
    # One in so many rounds makes tasks with one of these priorities.
    PRIORITISED = 2
    PRIORITIES = (-3..3)
    # Seconds from a task's beginning to its deadline.
    DEADLINE = (0.5..10.0)
    # One in so many tasks with a key is submitted again once it was acknowledged.
    REPEATED = 3
    # One in so many tasks with a key is known by its context, of which the key is a part.
    UNIQUE = 2

    # @return [Array<Receipt>] of the tasks that were acknowledged
    attr_reader :receipts
    # @return [Array<Key>] of the tasks that were submitted with one
    attr_reader :keys

    # @param url [String]
    # @param seed [Integer] which tasks are made
    # @param rate [Float] tasks a second
    # @yieldparam receipt [Receipt] of each task as soon as it was acknowledged
    def initialize(url, seed:, rate:, &made)
      @caller = Caller.new(url)
      @random = Random.new(seed)
      @rate = rate
      @made = made || ->(_) {}
      @receipts = []
      @keys = []
      @open = []
      @correlated = 0
    end

    # @return [Hash{Symbol => Integer}] as {Caller#counts}
    def counts
      @caller.counts
    end

    private

    def run
      until stopping?
        submit(Graphs::TEMPLATES.sample(random: @random))
        submit_open
      end
      submit_open until @open.empty?
    ensure
      @caller.close
    end

    def submit(template)
      keyed = @random.rand(KEYED).zero? || LED.include?(template.name)
      many = !keyed && @random.rand(BULK).zero? ? @random.rand(2..MOST_AT_ONCE) : 1
      # A worker all of whose threads hang ends.
      many = 1 if template.name == Hung::TEMPLATE
      deadline = @random.rand(HURRIED).zero? ? @random.rand(DEADLINE) : nil
      told = { "deadline" => deadline, "priority" => priority }.compact
      contexts = Array.new(many) { { "seed" => @random.rand(2**31), **told } }
      keyed ? open_key(template, contexts.first) : submit_all(template, contexts)
      sleep(many / @rate)
    end

    def priority
      @random.rand(PRIORITIES) if @random.rand(PRIORITISED).zero?
    end

    # Contexts say that there is a deadline, a priority, or a key, for the check of tasks that were not acknowledged.
    def submit_all(template, contexts)
      options = options_of(template, contexts.first)
      ids = @caller.call { |client| client.submit_all(template.name, contexts: contexts, **options) } or return

      ids.zip(contexts) { |id, context| remember(id, template, context) }
    end

    def options_of(template, context)
      { namespace: template.namespace, deadline: context["deadline"], priority: context["priority"],
        tags: [template.name] }
    end

    def open_key(template, context)
      key = Key.new("key #{@keys.size}", [], 0, @random.rand(UNIQUE).zero?)
      @keys << key
      @open << [key, template, { **context, "key" => key.text, "correlation" => correlation(template) }.compact]
    end

    def correlation(template)
      return unless template.name == Wait::TEMPLATE

      "order #{(@correlated += 1) / CORRELATED}"
    end

    # Until it was answered, and some once more.
    def submit_open
      @open = @open.reject do |key, template, context|
        id = submit_key(key, template, context) or next

        key.ids << id
        remember(id, template, context) if key.ids.one?
        @random.rand(REPEATED).positive?
      end
    end

    def submit_key(key, template, context)
      existing = false
      options = { **options_of(template, context), correlation_key: context["correlation"], **identity(key) }
      id = @caller.call do |client|
        client.submit(template.name, context: context.to_a.shuffle(random: @random).to_h, **options) { existing = true }
      end
      key.made += 1 if id && !existing
      id
    end

    # The order of a context's keys does not count.
    def identity(key)
      key.unique ? { unique: true } : { idempotency_key: key.text }
    end

    def remember(id, template, context)
      receipt = Receipt.new(id, template.name, context.fetch("seed"), [], Clock.now_ns, context["correlation"])
      @receipts << receipt
      @made.call(receipt)
    end
  end
end
