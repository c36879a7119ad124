# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Artifacts do
  extend SpoiledRecords

  attached = ->(record) { record.step("s0").artifacts.values_at(1) == [{ "report" => { "attempt" => 1 } }] }

  it_finds("an artifact that was lost", "chain",
           /\(s0\): attempt 1 attached {"report"=>{"attempt"=>1}}, there is {}/, such: attached) do |record|
    record.step("s0").artifacts.clear
  end

  it_finds("one that was replaced in the attempt", "chain", /\(s0\): .* there is {"report"=>"draft"}/,
           such: attached) do |record|
    record.step("s0").artifacts[1] = { "report" => "draft" }
  end

  it_finds("an artifact of an attempt that others have ended", "chain",
           /\(s0\): attempt 1 attached {}, there is {"report"=>{"attempt"=>1}}/, such: attached) do |record|
    record.step("s0").ends.first.outcome = "worker_died"
  end
end
