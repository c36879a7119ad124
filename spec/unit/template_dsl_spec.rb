# frozen_string_literal: true

RSpec.describe TaskerCore::TemplateDSL do
  after { TaskerCore.registry.clear }

  def definition(**options, &block)
    described_class.template("order", source: "app.rb:1", **options, &block).definition
  end

  before { stub_const("DslHandler", Class.new { def process(task, sequence, step) = nil }) }

  it "collects the steps in order" do
    steps = definition do
      step "a", handler: "DslHandler"
      step :b, handler: DslHandler, depends_on: :a
      step "c", handler: DslHandler, depends_on: ["a", :b]
    end["step_templates"]

    expect(steps.map { |step| step.values_at("name", "handler_class", "depends_on_steps") })
      .to eq([["a", "DslHandler", []], ["b", "DslHandler", ["a"]], ["c", "DslHandler", %w[a b]]])
  end

  it "gives itself to a block with a parameter, which keeps its own self" do
    here = self
    seen = nil
    definition do |template|
      seen = self
      template.step "a", handler: DslHandler
    end

    expect(seen).to be(here)
  end

  it "can be used in loops" do
    expect(definition { 3.times { |i| step "s#{i}", handler: DslHandler } }["step_templates"].size).to eq(3)
  end

  it "takes what steps cost before they are given up, and what exceptions mean" do
    given = definition(error_classes: { IOError => :blocked }) do
      step "a", handler: DslHandler, crash_limit: 1, retry: { backoff: :list, delays_seconds: [1, 5] },
                error_classes: { "Net::ReadTimeout" => "retryable", ArgumentError => :permanent }
    end

    expect(given["error_classes"]).to eq("IOError" => "blocked")
    expect(given["step_templates"].first).to include(
      "crash_limit" => 1, "error_classes" => { "ArgumentError" => "permanent", "Net::ReadTimeout" => "retryable" },
      "retry" => include("backoff" => "list", "delays_seconds" => [1.0, 5.0], "base_seconds" => nil)
    )
  end

  [Class.new(IOError), "TaskerCore::PermanentError", "net/http"].each do |name|
    it "refuses #{name.inspect[0, 10]} in a table of exception classes" do
      expect { definition { step "a", handler: DslHandler, error_classes: { name => "blocked" } } }
        .to raise_error(TaskerCore::InvalidTemplate, /app\.rb:1: error_classes/)
    end
  end

  it "refuses an option that does not exist and says what is near" do
    expect { definition { step "a", handler: DslHandler, depend_on: "b" } }
      .to raise_error(TaskerCore::InvalidTemplate,
                      'app.rb:1: step "a": unknown option depend_on; did you mean "depends_on"?')
    expect { definition(verson: "1.0.0") { step "a", handler: DslHandler } }
      .to raise_error(TaskerCore::InvalidTemplate, /template: unknown option verson; did you mean "version"\?/)
  end

  it "refuses conditions that Ruby would have to compute, and says what is allowed" do
    expected = /\Aapp.rb:1: step "b": when is a Proc; allowed: an expression in CEL as text, such as "context/
    expect { definition { step "b", handler: DslHandler, when: ->(context) { context } } }
      .to raise_error(TaskerCore::InvalidTemplate, expected)
    expect do
      definition do
        step "a", handler: DslHandler
        step "b", handler: DslHandler, depends_on: { step: "a", when: proc { true } }
      end
    end.to raise_error(TaskerCore::InvalidTemplate, expected)
  end

  it "takes classes of handlers in the place of their names" do
    steps = definition do
      step "a", handler: DslHandler, compensate: { handler_class: DslHandler, timeout_seconds: 5 }
    end["step_templates"]

    expect(steps.first["compensate"]).to include("handler_class" => "DslHandler", "timeout_seconds" => 5.0)
    expect { definition { step "a", handler: DslHandler, compensate: { "handler_class" => Class.new } } }
      .to raise_error(TaskerCore::InvalidTemplate, /step "a": the handler is a class without a name/)
  end

  it "refuses a class without a name" do
    expect { definition { step "a", handler: Class.new } }
      .to raise_error(TaskerCore::InvalidTemplate, /step "a": the handler is a class without a name/)
  end

  it "refuses a template without steps" do
    expect { described_class.template("order", source: "app.rb:1") }
      .to raise_error(TaskerCore::InvalidTemplate, /\Aapp\.rb:1: step_templates/)
  end

  describe "TaskerCore.define" do
    it "names the file and the line of the call" do
      expect { TaskerCore.define("x") { step "a", handler: DslHandler, retry_limit: -1 } }
        .to raise_error(TaskerCore::InvalidTemplate, /\A#{__FILE__}:#{__LINE__ - 1}: retry_limit \(step "a"\) is -1; /)
    end

    it "refuses a handler class that does not exist, and keeps nothing" do
      expect { TaskerCore.define("x") { step "a", handler: "DslHandlr" } }
        .to raise_error(TaskerCore::HandlerNotFound, /step "a": handler class DslHandlr cannot be found/)
      expect(TaskerCore.templates).to eq([])
    end

    it "says which class of its block is not there, and which template it is" do
      expect { TaskerCore.define("x", namespace: "shop") { step "a", handler: DslHandlr } }
        .to raise_error(TaskerCore::HandlerNotFound) { |error|
          expect(error.message).to match(/\A#{__FILE__}:\d+: a handler class cannot be loaded \(NameError: /)
          expect(error.details).to include("namespace" => "shop", "name" => "x", "file" => /\A#{__FILE__}:/)
        }
    end

    it "leaves other mistakes of its block as they are" do
      expect { TaskerCore.define("x") { stepp "a", handler: DslHandler } }.to raise_error(NoMethodError, /stepp/)
      expect { TaskerCore.define("x") { step nothing } }.to raise_error(NameError, /nothing/)
    end

    it "keeps the template" do
      template = TaskerCore.define("x") { step "a", handler: DslHandler }

      expect(TaskerCore.templates).to eq([template])
    end
  end
end
