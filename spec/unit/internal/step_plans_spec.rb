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

  def handler(&initializer)
    stub_const("PlannedHandler", Class.new do
      attr_reader :made_with

      define_method(:initialize, &initializer) if initializer
      def process(task, sequence, step) = nil
    end)
  end

  it "makes a handler with its config where it takes one" do
    handler { |config:| @made_with = config }

    expect(steps("handler_config" => { "url" => "u" }).plan(0).handler.made_with).to eq("url" => "u").and be_frozen
  end

  it "makes a handler with its config where it takes any keyword" do
    handler { |**options| @made_with = options }

    expect(steps.plan(0).handler.made_with).to eq(config: {})
  end

  it "makes a handler without arguments where it takes no config" do
    handler { @made_with = "nothing" }

    expect(steps("handler_config" => { "url" => "u" }).plan(0).handler.made_with).to eq("nothing")
  end

  it "makes another handler for each attempt" do
    handler
    plan = steps.plan(0)

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
    template = steps
    expect { template.plan(0) }.to raise_error(TaskerCore::HandlerNotFound, /PlannedHandler/)
    handler

    expect(template.plan(0)).to be(template.plan(0))
  end
end
