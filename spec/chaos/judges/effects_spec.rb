# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Effects do
  extend SpoiledRecords

  it_finds("an effect that is lost", "effective", /\(effect1\): effects of attempts \[\] are there/) do |record|
    record.step("effect1").effects.clear
  end

  it_finds("an effect that happened twice", "effective", /\(effect1\): effects of attempts \[(\d), \1\]/) do |record|
    record.step("effect1").effects.concat(record.step("effect1").effects)
  end

  it_finds("an effect of an attempt that others have ended", "effective", /\(effect2\): .* by \[\]/) do |record|
    record.step("effect2").ends.last.outcome = "worker_died"
  end
end
