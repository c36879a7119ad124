# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Priorities do
  extend SpoiledRecords

  it_finds("a task of another priority", "chain", "task 7: its priority is 0, not -3") do |record|
    record.priority = 0
    record.wanted_priority = -3
  end
end
