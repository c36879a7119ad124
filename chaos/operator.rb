# frozen_string_literal: true

require "tasker_core"
require_relative "agenda"
require_relative "background"
require_relative "branches"
require_relative "caller"
require_relative "clock"
require_relative "handler"
require_relative "ledger"
require_relative "requests"

module Chaos
  # Asks for what the {Agenda} says, through the connections that faults happen to. What it asked for is recorded in the
  # task's {Receipt}, with what came of it. In the end it asks for nothing any more but what tasks need to end.
  class Operator
    include Background
    include Clock

    # Something that is to be asked for, from `due` on, seconds of the monotonic clock.
    Errand = Struct.new(:due, :receipt, :plan)

    # Seconds between two looks at what is due.
    TICK = 0.02
    # Seconds before what was not answered is asked again.
    PAUSE = 0.2

    # @return [Array<String>] requests that ended as none may
    attr_reader :complaints
    # @return [Array<Receipt>] of the forks that were acknowledged
    attr_reader :forks
    # @return [Array<Key>] of all forks that were asked for
    attr_reader :keys
    # @return [Array<Request>] those about many tasks
    attr_reader :bulk

    # @param url [String]
    # @param server [Server] asked straight for the states of steps
    # @param seed [Integer] what is done to which task
    def initialize(url, server, seed:)
      @caller = Caller.new(url)
      @requests = Requests.new(server, Random.new(seed))
      @agenda = Agenda.new(seed)
      @random = Random.new(seed)
      @made = Queue.new
      @errands = []
      @complaints = []
      @forks = []
      @keys = []
      @bulk = []
    end

    # @return [Hash{Symbol => Integer}] as {Caller#counts}
    def counts
      @caller.counts
    end

    # A task was made. From any thread.
    #
    # @param receipt [Receipt]
    # @return [void]
    def add(receipt)
      @made << receipt
    end

    private

    def run
      until stopping?
        work { |errand| errand.due <= now }
        sleep(TICK)
      end
      work { |errand| errand.plan.needed } until @made.empty? && @errands.none? { |errand| errand.plan.needed }
    ensure
      @caller.close
    end

    def work(&chosen)
      take_up(@made.pop) until @made.empty?
      due, @errands = @errands.partition(&chosen)
      due.sort_by(&:due).each { |errand| perform(errand) }
    end

    def take_up(receipt)
      @agenda.plans(receipt).each { |plan| @errands << Errand.new(now + plan.after, receipt, plan) }
    end

    def perform(errand)
      plan = errand.plan
      request = plan.request
      return unless request.sent_ns || begin_request(errand.receipt, request)
      return again(errand, PAUSE) unless ask(errand.receipt.task_id, request) || !plan.needed

      acknowledged(errand, request) if request.acknowledged?
    end

    def acknowledged(errand, request)
      remember(errand.receipt, request) if request.kind == :fork
      errand.plan.times -= 1
      again(errand, @random.rand(Agenda::SIGNALLED)) if errand.plan.times.positive?
    end

    def again(errand, seconds)
      errand.due = now + seconds
      @errands << errand
    end

    # What is sent for the first time counts from then on, whatever is answered.
    #
    # @return [Boolean] false: there is nothing to ask for
    def begin_request(receipt, request)
      return false unless @requests.aim(receipt.task_id, request)

      request.sent_ns = now_ns
      request.told[:sent_at] = Time.now.to_f if request.bulk?
      (request.bulk? ? @bulk : receipt.requests) << request
      true
    end

    # A fork cannot begin with steps that those above them leave out; and there may be no such step just then.
    def refusals(request)
      may_be_wrong = request.kind == :fork || (request.step && Growth.comes_and_goes?(request.step))
      [TaskerCore::InvalidTransition, *(TaskerCore::InvalidArgument if may_be_wrong)]
    end

    def remember(receipt, request)
      @forks << Receipt.new(request.ids.first, receipt.template, receipt.seed, [])
      @keys << Key.new(request.told.fetch(:key), request.ids, 0)
    end

    def answered(request, answer)
      request.ids.concat([answer].flatten.grep(Integer))
      request.answered_ns ||= now_ns
      request.told[:answered_at] = Time.now.to_f if request.bulk?
      request.answer = :acknowledged
    end

    # @return [Boolean] whether it was answered
    def ask(task_id, request)
      before = request.answer
      request.answer ||= :unsure
      request.calls += 1
      answer = @caller.call { |client| @requests.send_to(client, task_id, request) } or return false

      answered(request, answer)
      true
    rescue *refusals(request)
      # One that perhaps took place before is refused where it cannot take place again.
      request.answer = :refused unless before
      true
    rescue StandardError => e
      complaints << "task #{task_id}: #{request.kind} by #{request.actor} ended with #{e.class}: #{e.message}"
      true
    end
  end
end
