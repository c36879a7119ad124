# frozen_string_literal: true

require "tasker_core/cli"

RSpec.describe TaskerCore::CLI::Age do
  { "0s" => 0, "90s" => 90, "5m" => 300, "2h" => 7_200, "30d" => 2_592_000, "1w" => 604_800,
    "36500d" => 3_153_600_000 }.each do |text, seconds|
    it "reads #{text}" do
      expect(described_class.seconds("--older-than", text)).to eq(seconds)
    end
  end

  ["30", "d", "1.5d", "-1d", "30 d", "30d\n", "1y", "", "3153600001s", "36501d"].each do |text|
    it "refuses #{text.inspect}" do
      expect { described_class.seconds("--older-than", text) }
        .to raise_error(TaskerCore::CLI::UsageError, /\A--older-than is #{Regexp.escape(text.inspect)}; allowed: /)
    end
  end
end
