# frozen_string_literal: true

RSpec.describe TaskerCore::Task do
  let(:template) { Struct.new(:name, :namespace, :version).new("order", "shop", "1.0.0") }

  def task(json)
    described_class.new(7, template, json)
  end

  it "says of which template it is" do
    expect(task("{}")).to have_attributes(task_id: 7, name: "order", namespace: "shop", version: "1.0.0")
  end

  it "reads the context once, with text keys, frozen also inside" do
    context = task('{"order":{"items":[{"sku":"a"}]}}').then { |it| [it.context, it.context] }

    expect(context.first).to eq("order" => { "items" => [{ "sku" => "a" }] })
    expect(context.first).to be(context.last)
    expect([context.first, context.first["order"], context.first.dig("order", "items", 0, "sku")]).to all(be_frozen)
  end

  it "does not read the context before it is asked for" do
    expect(task("no JSON").task_id).to eq(7)
  end

  it "reads large numbers and deep nesting as they were submitted" do
    deep = "#{"[" * 120}1#{"]" * 120}"

    expect(task(%({"n":#{10**40},"deep":#{deep}})).context["n"]).to eq(10**40)
  end
end
