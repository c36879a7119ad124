# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::EnvironmentOverrides do
  let(:base) do
    { "name" => "order", "schema" => { "type" => "object", "required" => %w[a b] },
      "step_templates" => [
        { "name" => "load", "handler_class" => "Load" },
        { "name" => "save", "handler_class" => "Save", "handler_config" => { "url" => "u", "retry" => { "max" => 1 } } }
      ] }
  end

  def overrides(environments)
    described_class.new(base.merge("environments" => environments), source: "a.yaml")
  end

  def apply(override)
    overrides("test" => override).apply("test")
  end

  def refusal(key, message)
    raise_error(TaskerCore::InvalidTemplate) { |error|
      expect(error.message).to start_with("a.yaml: #{key} ").and include(message)
      expect(error.details).to include("file" => "a.yaml", "key" => key)
    }
  end

  it "leaves a definition without overrides as it is" do
    expect(described_class.new(base, source: "a.yaml").apply("test")).to eq(base)
  end

  it "takes the overrides away for an environment that they do not mention" do
    expect(overrides("test" => { "name" => "x" }).apply("production")).to eq(base)
    expect(overrides("test" => { "name" => "x" }).apply(nil)).to eq(base)
  end

  it "merges mappings key by key and replaces everything else" do
    expect(apply("description" => "d", "schema" => { "required" => ["c"] }))
      .to eq(base.merge("description" => "d", "schema" => { "type" => "object", "required" => ["c"] }))
  end

  it "merges steps by name, wherever they stand" do
    merged = apply("step_templates" => [{ "name" => "save", "handler_config" => { "retry" => { "base" => 2 } } },
                                        { "name" => "load", "default_retry_limit" => 9 }])

    expect(merged["step_templates"]).to eq(
      [{ "name" => "load", "handler_class" => "Load", "default_retry_limit" => 9 },
       { "name" => "save", "handler_class" => "Save",
         "handler_config" => { "url" => "u", "retry" => { "max" => 1, "base" => 2 } } }]
    )
  end

  it "does not change what it was given" do
    before = Marshal.load(Marshal.dump(base))
    apply("schema" => { "required" => [] }, "step_templates" => [{ "name" => "load", "queue" => "q" }])

    expect(base).to eq(before)
  end

  it "knows which environments there are" do
    expect(overrides("test" => {}, "production" => {}).names).to eq(%w[test production])
  end

  it "refuses a step that the template does not have, in any environment, and says what is near" do
    expect { overrides("ok" => {}, "other" => { "step_templates" => [{ "name" => "sav" }] }) }
      .to refusal("environments.other.step_templates[0].name", 'did you mean "save"?')
  end

  it "refuses a step that is overridden twice" do
    steps = [{ "name" => "save" }, { "name" => "save" }]

    expect { overrides("test" => { "step_templates" => steps }) }
      .to refusal("environments.test.step_templates[1].name", "each step once")
  end

  {
    "environments" => [1], "environments.test" => { "test" => nil }, "environments.test.step_templates" =>
      { "test" => { "step_templates" => {} } },
    "environments.test.step_templates[0]" => { "test" => { "step_templates" => ["save"] } },
    "environments.test.step_templates[0].name" => { "test" => { "step_templates" => [{ "queue" => "q" }] } }
  }.each do |key, environments|
    it "refuses #{key} of the wrong kind" do
      expect { overrides(environments) }.to refusal(key, "allowed: ")
    end
  end

  ["no list", nil, [1, "x"]].each do |steps|
    it "leaves #{steps.inspect} as steps to be refused by the template's own check" do
      base["step_templates"] = steps

      expect(apply("description" => "d")).to eq(base.merge("description" => "d"))
    end
  end
end
