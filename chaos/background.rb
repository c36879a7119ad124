# frozen_string_literal: true

module Chaos
  # What works in a thread of its own, from {#start} to {#stop}: `run` of the class that includes this, which ends soon
  # after {#stopping?}.
  module Background
    # @return [void]
    def start
      @thread = Thread.new { run }
      @thread.name = "chaos-#{self.class.name.split("::").last.downcase}"
    end

    # Waits for its end.
    #
    # @return [void]
    # @raise [StandardError] what ended it before
    def stop
      @stopping = true
      @thread&.join
    end

    private

    def stopping?
      @stopping
    end
  end
end
