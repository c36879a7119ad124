# frozen_string_literal: true

require "tasker_core/testing/checks"

RSpec.describe TaskerCore::Testing::Checks do
  let(:order) { Class.new { def to_global_id = "gid://shop/Order/7" }.new }

  it "compares records by their global ids" do
    submitted = { "order" => { "tasker_global_id" => "gid://shop/Order/7" }, "n" => 1 }

    expect(described_class.same?({ order: order, n: 1 }, submitted)).to be(true)
    expect(described_class.same?({ order: order, n: 2 }, submitted)).to be(false)
    expect(described_class.same?({ order: Object.new, n: 1 }, submitted)).to be(false)
  end
end
