# frozen_string_literal: true

require "tmpdir"
require_relative "clock"
require_relative "member"

module Chaos
  # The worker processes of a run. One that ends is replaced.
  class Fleet
    # What can be executed side by side on one database: the version of the schema, and the gem that has it. There is
    # one version.
    VERSIONS = { 1 => File.expand_path("../lib", __dir__) }.freeze

    # Seconds after which a worker that was asked to end never will.
    ENDLESS = 120
    # Seconds between two looks at whether all have ended.
    PAUSE = 0.05

    # @return [Array<String>] what went wrong with processes
    attr_reader :complaints
    # @return [Hash{Symbol => Integer}] sums over those that ended in order: :stale, late ends that were refused;
    #   :interrupted; :not_in_order, processes that could not write everything
    attr_reader :sums

    # None is left after the block.
    #
    # @param orders [Array<Hash{String => Object}>] one for each process, as {Worker} takes it
    # @yieldparam fleet [Fleet]
    # @return [Object] what the block returned
    # @example
    #   Fleet.open([order] * 3) { |fleet| fleet.members.first.signal("KILL"); fleet.tend }
    def self.open(orders)
      Dir.mktmpdir("tasker-chaos-") do |folder|
        fleet = new(orders, folder)
        yield fleet
      ensure
        fleet&.close
      end
    end

    # @param orders [Array<Hash{String => Object}>]
    # @param folder [String] where logs are written
    def initialize(orders, folder)
      @orders = orders
      @folder = folder
      @complaints = []
      @sums = Hash.new(0)
      @environments = orders.map { {} }
      @started = 0
      @places = orders.each_index.map { |place| hire(place) }
    end

    # @return [Array<Member>] one in each place
    def members
      @places
    end

    # Replaces those that have ended.
    #
    # @return [void]
    def tend
      @places.each_with_index do |member, place|
        next unless member.ended?

        dismiss(member)
        @places[place] = hire(place)
      end
    end

    # From its next process on, a place has another environment.
    #
    # @param place [Integer]
    # @param env [Hash{String => String}]
    # @return [void]
    def surround(place, env)
      @environments[place] = env
    end

    # Asks all of them to end in order, and waits for it; not longer than they may take.
    #
    # @return [void]
    def stop
      @places.each { |member| member.signal("TERM") }
      await
      @places.each do |member|
        end_late(member) unless member.ended?
        dismiss(member)
      end
      @places = []
    end

    # @return [void]
    def close
      @places.each(&:close)
    end

    private

    def await
      deadline = Clock.now + ENDLESS
      sleep(PAUSE) until @places.all?(&:ended?) || Clock.now > deadline
    end

    def end_late(member)
      complaints << "worker process #{member.pid} has not ended after #{ENDLESS} s: #{member.last_words}"
      member.signal("KILL")
      member.status
    end

    def hire(place)
      @started += 1
      library = VERSIONS.values[place % VERSIONS.size]
      log = File.join(@folder, "#{@started}.log")
      Member.new(@orders[place], library: library, log: log, env: @environments[place])
    end

    def dismiss(member)
      complaint = member.complaint
      complaints << complaint if complaint
      add(member.summary)
      member.close
    end

    def add(summary)
      return if summary.empty?

      %w[stale interrupted].each { |name| sums[name.to_sym] += summary.fetch(name) }
      sums[:not_in_order] += 1 unless summary.fetch("in_order")
    end
  end
end
