# frozen_string_literal: true

module Tasker
  # Telling subscribers what happens.
  module Events
    # An event as subscribers get it. What is not known without asking the database is read when it is asked for, and is
    # then what the database says at that time.
    #
    # @example
    #   event[:task_id]      # => 42, without a query
    #   event[:step_results] # => { "total" => 5 }, read
    class Event
      # @return [String] its name
      attr_reader :id

      # @param id [String]
      # @param known [Hash{Symbol => Object}]
      # @yieldreturn [Hash{Symbol => Object}] what is to be read
      def initialize(id, known, &more)
        @id = id
        @known = known
        @more = more
        @payload = nil
      end

      # @param key [Symbol, String]
      # @return [Object, nil]
      def [](key)
        fetch(key, nil)
      end

      # @param key [Symbol, String]
      # @param default [Object] Default nil.
      # @return [Object] the default, or what the block returns, where there is no such part
      # @example
      #   event.fetch(:error_message, "none")
      def fetch(key, default = nil, &block)
        key = key.to_sym
        return @known[key] if @known.key?(key)

        payload.fetch(key) { block ? yield(key) : default }
      end

      # @return [Hash{Symbol => Object}] all parts, frozen
      def payload
        @payload ||= { **@known, **(@more ? @more.call : {}) }.freeze
      end
      alias to_h payload
    end
  end
end
