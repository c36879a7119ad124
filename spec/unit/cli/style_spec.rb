# frozen_string_literal: true

require "tasker_core/cli/style"

RSpec.describe TaskerCore::CLI::Style do
  it "has a symbol for every state, and says the state in words too" do
    style = described_class.new(colour: false)
    shown = described_class::STATES.keys.to_h { |state| [state, style.state(state)] }
    expect(shown).to all(satisfy { |state, text| text.match?(/\A\S #{state}\z/) })
  end

  it "shows a state that it does not know" do
    expect(described_class.new(colour: false).state("dreaming")).to eq("? dreaming")
  end

  it "uses ASCII alone where the terminal has nothing else" do
    style = described_class.new(colour: false, unicode: false)
    expect([*described_class::STATES.keys.map { |state| style.state(state) }, style.bar(0.5, 4)]).to all(be_ascii_only)
  end

  it "paints only where colours are on" do
    texts = [true, false].map { |colour| described_class.new(colour: colour).mark(false) }
    expect(texts).to eq(["\e[31m✗ failed\e[0m", "✗ failed"])
  end

  it "fills a bar by its share and never beyond its ends" do
    style = described_class.new(colour: false)
    expect([-1, 0, 0.49, 1, 2].map { |share| style.bar(share, 4) }).to eq(%w[░░░░ ░░░░ █░░░ ████ ████])
  end
end
