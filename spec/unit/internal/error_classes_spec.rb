# frozen_string_literal: true

require "json"
require "net/protocol"

RSpec.describe TaskerCore::Internal::ErrorClasses do
  def kind(error, **tables)
    described_class.new(tables.transform_keys(&:to_s)).rule(error)&.kind
  end

  it "knows nothing of exceptions that no table names" do
    expect(kind(IOError.new)).to be_nil
    expect(kind(IOError.new, step: {}, template: { "KeyError" => "blocked" }, configuration: {})).to be_nil
  end

  it "goes by the nearest ancestor, in whatever order the table has them" do
    table = { "StandardError" => "permanent", "IOError" => "blocked", "Exception" => "retryable" }

    expect(kind(EOFError.new, step: table)).to eq("blocked")
    expect(kind(KeyError.new, step: table)).to eq("permanent")
    expect(kind(NotImplementedError.new, step: table)).to eq("retryable")
  end

  it "asks the step's table before the template's, and that before the configuration's" do
    tables = { step: { "StandardError" => "blocked" }, template: { "IOError" => "permanent" },
               configuration: { "EOFError" => "retryable" } }

    expect(kind(EOFError.new, **tables)).to eq("blocked")
    expect(kind(EOFError.new, **tables.except(:step))).to eq("permanent")
    expect(kind(EOFError.new, **tables.slice(:configuration))).to eq("retryable")
  end

  it "says which table, and under which name" do
    rule = described_class.new({ "step" => {}, "template" => { "IOError" => "blocked" } }).rule(EOFError.new)

    expect(rule.source).to eq("error_classes of the template: IOError")
  end

  it "knows modules that an exception's class includes" do
    stub_const("Passing", Module.new)
    error = Class.new(RuntimeError) { include Passing }.new

    expect(kind(error, step: { "Passing" => "retryable", "RuntimeError" => "permanent" })).to eq("retryable")
  end

  it "goes by the name that a class has, not by what it says" do
    stub_const("Sly", Class.new(RuntimeError) { def self.name = raise("no") })

    expect(kind(Sly.new, step: { "Sly" => "blocked" })).to eq("blocked")
  end

  it "leaves the library's errors what they are, also where an ancestor is named" do
    table = { "StandardError" => "retryable", "Exception" => "retryable" }

    [TaskerCore::PermanentError, TaskerCore::BlockedError, TaskerCore::HandlerNotFound,
     Class.new(TaskerCore::PermanentError)].each { |type| expect(kind(type.new, step: table)).to be_nil }
  end

  it "knows classes of the user's that descend from the library's" do
    stub_const("CardStolen", Class.new(TaskerCore::PermanentError))

    expect(kind(CardStolen.new, step: { "CardStolen" => "blocked" })).to eq("blocked")
  end

  names = ["Net::ReadTimeout", "A_1", "Ärger", "TaskerCorePlus::Error", "C" * 255, "net::Read", "Net:Read", "::IOError",
           "Net::", "Io Error", "", "C" * 256, "TaskerCore", "TaskerCore::Error", "1A", "A\n"]
  names.each do |name|
    it "takes #{name.inspect[0, 30]} in a configuration as in a template" do
      steps = [{ name: "a", handler_class: "A" }]
      template = { name: "x", step_templates: steps, error_classes: { name => "blocked" } }
      in_template = begin
        TaskerCore::Internal::Bridge.check_template(JSON.generate(template))
      rescue TaskerCore::InvalidTemplate
        nil
      end

      expect(described_class.problem({ name => "blocked" }).nil?).to eq(!in_template.nil?)
    end
  end

  it "allows so many names" do
    table = ->(size) { (1..size).to_h { |number| ["C#{number}", "blocked"] } }

    expect(described_class.problem(table[1_000])).to be_nil
    expect(described_class.problem(table[1_001])).to eq("1001 names")
  end
end
