# frozen_string_literal: true

module TaskerCore
  # What became of a request about many tasks or steps, so far or at the end. Frozen.
  #
  # @example
  #   report = TaskerCore.retry_all(error: "Net::ReadTimeout", reason: "the bank is back")
  #   report.done # => 1204
  #   report.ok?  # => true
  class BulkReport
    # @return [String] what was asked for: retry, skip, resolve, cancel, pause, resume, rerun, fork, compensate or
    #   "raise the budget of"
    attr_reader :action
    # @return [Boolean] whether only counted
    attr_reader :dry_run
    # @return [Integer] tasks or steps that the filter meant
    attr_reader :matched
    # @return [Integer] of these, those with which it was done; none in a dry run
    attr_reader :done
    # @return [Integer] of these, those that had gone on or ended meanwhile, or have it already: there was nothing to do
    attr_reader :gone_on
    # @return [Array<Hash{String => Object}>] of these, those with which it could not be done, or could not in
    #   a dry run: task_id, step, error (a class), message; frozen
    attr_reader :refused
    # @return [Array<Hash{String => Object}>] the first of those with which it was, or would be, done: task_id, step;
    #   frozen. At most {SHOWN}
    attr_reader :examples
    # @return [Hash{String => Object}, nil] what became of the steps that were tried first: steps, complete, failed,
    #   open, failures (each as {StepFailure#to_h}); frozen. nil where none were to be
    attr_reader :canary
    # @return [String, nil] why the others were left alone
    attr_reader :stopped

    # Most {examples}.
    SHOWN = 20

    # @api private
    # @param attributes [Hash{Symbol => Object}]
    def initialize(attributes)
      @attributes = attributes
      @action, @dry_run, @matched, @done, @gone_on = attributes.values_at(:action, :dry_run, :matched, :done, :gone_on)
      @refused, @examples, @canary, @stopped = attributes.values_at(:refused, :examples, :canary, :stopped)
      freeze
    end

    # @return [Integer] of those that are meant, those with which it is done in the end: in a dry run, would be
    # @example
    #   TaskerCore.skip_all(dry_run: true).doable # => 12
    def doable
      matched - gone_on - refused.size
    end

    # @return [Boolean] whether nothing was refused and the canary did not stop it
    # @example
    #   report.ok? # => true
    def ok?
      refused.empty? && stopped.nil?
    end

    # @return [Hash{Symbol => Object}] all attributes: ready for JSON
    # @example
    #   JSON.generate(report.to_h)
    def to_h
      @attributes
    end

    # @return [String]
    def inspect
      "#<#{self.class} #{action} #{done} of #{matched} gone_on=#{gone_on} refused=#{refused.size} #{stopped}>"
    end
  end
end
