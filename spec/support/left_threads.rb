# frozen_string_literal: true

# Fails an example that leaves threads behind.
module LeftThreads
  # Seconds that threads may take to end.
  PATIENCE_SECONDS = 5

  # Newer versions of Ruby keep one thread for all timeouts.
  KEPT_BY_RUBY = /Timeout/.freeze

  # @yield an example
  # @return [void]
  # @raise [RuntimeError] threads are left
  def self.refuse
    before = Thread.list
    yield
    Waiting.wait_until("all threads of the example end", within: PATIENCE_SECONDS) { left(before).empty? }
  rescue RuntimeError => e
    raise e if left(before).empty?

    raise "#{e.message}; left: #{left(before).map(&:inspect).join(", ")}"
  end

  def self.left(before)
    (Thread.list - before).reject { |thread| thread.inspect.match?(KEPT_BY_RUBY) }
  end
  private_class_method :left
end
