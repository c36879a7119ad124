# frozen_string_literal: true

require "tasker_core/cli"

RSpec.describe TaskerCore::CLI::Remedies do
  it "gives a command for each remedy, as a shell reads it" do
    expect(described_class.commands(42, "charge card", %w[retry resolve skip])).to eq(
      ["tasker retry 42 charge\\ card",
       "tasker resolve 42 charge\\ card --results JSON", "tasker skip 42 charge\\ card"]
    )
  end
end
