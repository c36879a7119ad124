# frozen_string_literal: true

require "zlib"

module Chaos
  # Artifacts that handlers attach to attempts. Which follows from the task's seed, the step's name and the attempt.
  module Attachment
    # One in so many attempts attaches something.
    SHARE = 3
    # What a second artifact of the same name takes the place of.
    DRAFT = "draft"

    module_function

    # @param seed [Integer] of the task
    # @param step [String] name of the step
    # @param attempt [Integer]
    # @return [Hash{String => Object}] content by name, a URI where that is a text
    # @example
    #   Attachment.of(7, "s0", 1) # => {"report" => {"attempt" => 1}}
    def of(seed, step, attempt)
      random = Random.new(Zlib.crc32("#{seed}/#{step}/#{attempt}/attached"))
      return {} unless random.rand(SHARE).zero?

      attached = { "report" => { "attempt" => attempt }, "file" => "file:///#{seed}/#{attempt}" }
      attached.first(random.rand(1..attached.size)).to_h
    end

    # @param step [TaskerCore::Step]
    # @param attached [Hash{String => Object}] as {of}
    # @return [void]
    def attach(step, attached)
      attached.each do |name, content|
        step.attach(name, json: DRAFT)
        content.is_a?(String) ? step.attach(name, uri: content) : step.attach(name, json: content)
      end
    end
  end
end
