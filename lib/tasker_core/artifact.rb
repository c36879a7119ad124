# frozen_string_literal: true

require "time"

module TaskerCore
  # What a handler attached to an attempt with {Step#attach}. Frozen.
  #
  # @example
  #   TaskerCore.artifacts(42).map(&:name) # => ["report"]
  class Artifact
    # @return [Integer]
    attr_reader :step_id
    # @return [String]
    attr_reader :step_name, :name, :media_type
    # @return [Integer] number of the attempt, from 1
    attr_reader :attempt
    # @return [Object, nil] its content, frozen; nil where it lies at {#uri}
    attr_reader :json
    # @return [String, nil] where it lies
    attr_reader :uri

    # @api private
    # @param attributes [Hash{String => Object}] frozen
    def initialize(attributes)
      @attributes = attributes
      @step_id, @step_name, @attempt, @name, @media_type, @json, @uri =
        attributes.values_at("step_id", "step_name", "attempt", "name", "media_type", "json", "uri")
      freeze
    end

    # @return [Time] UTC; when the attempt ended
    def at
      Time.iso8601(@attributes.fetch("at"))
    end

    # @return [Hash{Symbol => Object}] all attributes, the time as ISO 8601 text
    # @example
    #   puts JSON.generate(artifact.to_h)
    def to_h
      @attributes.transform_keys(&:to_sym)
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{name} (#{media_type}) of #{step_name}, attempt #{attempt}>"
    end
  end
end
