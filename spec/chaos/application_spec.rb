# frozen_string_literal: true

require_relative "../../chaos/application"

RSpec.describe Chaos::Application do
  def order(fate, ids)
    described_class::Order.new(1, ids.map { |id| Chaos::Receipt.new(id, "chain", 1, []) }, fate)
  end

  # What is known of the order, whether it is there, and the tasks that are => what is found.
  { [:committed, [7, 8], true, [7, 8]] => [],
    [:undone, [7, 8], false, []] => [],
    [:unsure, [7, 8], true, [7, 8]] => [],
    [:unsure, [7, 8], false, []] => [],
    [:committed, [7], false, []] => ["order 1: it was committed, and is not there"],
    [:undone, [7], true, [7]] => ["order 1: it was undone, and is there"],
    [:committed, [7, 8], true, [7]] => ["order 1: it is there, without task 8"],
    [:unsure, [7], true, []] => ["order 1: it is there, without task 7"],
    [:unsure, [7], false, [7]] => ["order 1: it is not there, and task 7 is"],
    [:undone, [7], false, [7]] => ["order 1: it is not there, and task 7 is"],
    [:committed, [7], true, [7, 9]] => ["order 1: task 9 is there, and is not of it"] }
    .each do |(fate, told, saved, there), found|
    it "finds #{found.inspect} where #{fate} is known, there #{saved}, with tasks #{there} of #{told}" do
      expect(described_class.compare([order(fate, told)], saved ? [1] : [], there.empty? ? {} : { 1 => there }))
        .to eq(found)
    end
  end
end
