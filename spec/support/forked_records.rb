# frozen_string_literal: true

require "json"

# For examples that read with the models of Active Record: in a forked process, so that no other example has it loaded.
#
# @example
#   before { skip_without_active_record }
#
#   it "reads" do
#     expect(reading { TaskerCore::Records::Task.count }).to eq(0)
#   end
module ForkedRecords
  # @return [void]
  def skip_without_active_record
    skip "activerecord is not installed" if Gem::Specification.find_all_by_name("activerecord").empty?
  end

  # @yieldreturn [Object] what can be written as JSON
  # @return [Object] the same, read from JSON
  def reading(&block)
    reader, writer = IO.pipe
    pid = fork { write(writer, &block) }
    writer.close
    answer = reader.read
    Process.wait(pid)
    kind, value = JSON.parse(answer)
    kind == "value" ? value : raise("the process that reads failed: #{value}")
  ensure
    reader.close
  end

  # Runs the block, and counts the statements that it asks the database.
  #
  # @return [Integer]
  def queries(&block)
    count = 0
    counter = ->(*, payload) { count += 1 unless %w[SCHEMA TRANSACTION].include?(payload[:name]) }
    ActiveSupport::Notifications.subscribed(counter, "sql.active_record", &block)
    count
  end

  private

  # Leaves without what RSpec does at the end of a process.
  def write(writer)
    answer = begin
      require "tasker_core/records"
      ActiveRecord::Base.establish_connection(database_url)
      ["value", yield]
    rescue StandardError, LoadError => e
      ["error", "#{e.message} (#{e.class})\n#{e.backtrace.first(8).join("\n")}"]
    end
    writer.write(JSON.generate(answer))
    writer.close
    exit!(0)
  end
end
