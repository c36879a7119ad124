# frozen_string_literal: true

require_relative "../../chaos/schedule"

RSpec.describe Chaos::Schedule do
  names = Chaos::Faults::ALL.keys

  def entries(**settings)
    described_class.new(**settings).entries.map(&:to_a)
  end

  it "is the same for the same seed, and another for another" do
    one, same, other = [1, 1, 2].map { |seed| entries(seed: seed, seconds: 60, names: names) }
    expect(one).to eq(same)
    expect(one).not_to eq(other)
  end

  it "lets each fault come before any comes again, within the time" do
    schedule = described_class.new(seed: 3, seconds: 300, names: names).entries
    expect(schedule.first(names.size).map(&:name)).to match_array(names)
    expect(schedule.map(&:at)).to eq(schedule.map(&:at).sort)
    expect(schedule.last.at).to be_between(295, 300)
  end

  it "lets those last that do" do
    lasting = names.select { |name| Chaos::Faults::ALL.fetch(name).lasts }
    schedule = described_class.new(seed: 4, seconds: 100, names: names).entries
    expect(schedule.map { |entry| [entry.name, entry.seconds.positive?] }.uniq)
      .to match_array(names.map { |name| [name, lasting.include?(name)] })
  end
end
