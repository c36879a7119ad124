# frozen_string_literal: true

require "tasker_core/cli"

RSpec.describe TaskerCore::CLI::Rate do
  it "reads a number and a unit" do
    rates = %w[20/s 90/m 36/h].map { |text| described_class.per_second("--rate", text) }
    expect(rates).to eq([20.0, 1.5, 0.01])
  end

  it "refuses everything else" do
    ["20", "0/s", "-1/s", "1.5/s", "5/d", "/s", "", " 5/s", "5/s\n"].each do |text|
      expect { described_class.per_second("--rate", text) }
        .to raise_error(TaskerCore::CLI::UsageError, %r{--rate is #{Regexp.escape(text.inspect)}; allowed: .*20/s})
    end
  end
end
