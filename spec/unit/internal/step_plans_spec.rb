# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::StepPlan do
  def steps(*given)
    definitions = (given.empty? ? [{}] : given).map do |definition|
      { "name" => "a", "handler_class" => "PlannedHandler", "depends_on_steps" => [], "default_retry_limit" => 3,
        "handler_config" => {} }.merge(definition)
    end
    pieces = TemplatePieces.new({ "namespace_name" => "shop", "name" => "order", "version" => "1.0.0",
                                  "step_templates" => definitions })
    TaskerCore::Internal::TemplateSteps.new(pieces, 1)
  end

  # The plan of the first step, whose handler is found.
  def found(*given)
    steps(*given).plan(0).find_handler
  end

  def handler(&initializer)
    stub_const("PlannedHandler", Class.new do
      attr_reader :made_with

      define_method(:initialize, &initializer) if initializer
      def process(task, sequence, step) = nil
    end)
  end

  it "makes a handler with its config where it takes one" do
    handler { |config:| @made_with = config }

    expect(found("handler_config" => { "url" => "u" }).handler.made_with).to eq("url" => "u").and be_frozen
  end

  it "makes a handler with its config where it takes any keyword" do
    handler { |**options| @made_with = options }

    expect(found.handler.made_with).to eq(config: {})
  end

  it "makes a handler without arguments where it takes no config" do
    handler { @made_with = "nothing" }

    expect(found("handler_config" => { "url" => "u" }).handler.made_with).to eq("nothing")
  end

  it "makes another handler for each attempt" do
    handler
    plan = found

    expect(plan.handler).not_to be(plan.handler)
  end

  it "knows parents, other steps and limits" do
    handler
    plan = steps({}, "name" => "b", "depends_on_steps" => ["a"], "default_retry_limit" => 7).plan(1)

    expect([plan.name, plan.retry_limit, plan.parent?("a"), plan.parent?("b"), plan.step?("b"), plan.step?("c")])
      .to eq(["b", 7, true, false, true, false])
  end

  it "has the tables of exception classes without its handler" do
    tables = steps({ "error_classes" => { "IOError" => "blocked" } }, { "name" => "b" })

    expect([tables.error_classes(0), tables.error_classes(1)])
      .to eq([{ "step" => { "IOError" => "blocked" }, "template" => {} }, { "step" => {}, "template" => {} }])
  end

  it "is made once for a step, but looks for a missing class each time" do
    plan = steps.tap { |template| expect(template.plan(0)).to be(template.plan(0)) }.plan(0)
    2.times do
      expect { plan.find_handler }.to raise_error(
        TaskerCore::HandlerNotFound,
        %r{\Atemplate shop/order 1\.0\.0, step "a": handler class PlannedHandler cannot be found.*; deploy it to all w}
      )
    end
    handler
    plan.find_handler

    expect(plan.handler).to be_a(PlannedHandler)
  end

  it "finds the class, and what it says of itself, anew when code was loaded, and not before" do
    handler
    plan = found
    before = PlannedHandler
    handler
    PlannedHandler.define_singleton_method(:transactional?) { true }
    plan.find_handler
    expect([plan.handler.class, plan.transactional?]).to eq([before, false])

    TaskerCore::HandlerRegistry.forget
    plan.find_handler
    expect([plan.handler.class, plan.transactional?]).to eq([PlannedHandler, true])
  end
end
