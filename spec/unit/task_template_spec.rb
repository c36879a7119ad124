# frozen_string_literal: true

RSpec.describe TaskerCore::TaskTemplate do
  around { |example| Dir.mktmpdir { |folder| (@folder = folder) && example.run } }

  let(:valid) { "name: order\nstep_templates:\n  - {name: load, handler_class: NotLoadedHere}\n" }

  def path
    File.join(@folder, "order.yaml")
  end

  def load_file(content, environment: nil)
    File.write(path, content)
    described_class.load_file(path, environment: environment)
  end

  it "fills in every default" do
    expect(load_file(valid).definition).to include(
      "namespace_name" => "default", "version" => "0.1.0", "queue" => "default", "step_templates" => [
        include("name" => "load", "depends_on_steps" => [], "default_retryable" => true, "default_retry_limit" => 3,
                "handler_config" => {}, "timeout_seconds" => nil)
      ]
    )
  end

  it "knows its names, steps and where it was written, all frozen" do
    template = load_file(valid)

    expect(template).to be_frozen.and have_attributes(
      name: "order", namespace: "default", version: "0.1.0", description: nil, source: path,
      key: ["default", "order", "0.1.0"], step_names: ["load"], to_s: "default/order 0.1.0"
    )
    expect([template.definition, template.steps, template.steps.first]).to all(be_frozen)
  end

  it "is equal to one that defines the same elsewhere" do
    definition = { name: "order", step_templates: [{ name: "load", handler_class: "NotLoadedHere" }] }
    other = described_class.new(definition, source: "elsewhere.rb:1")

    expect(other).to eq(load_file(valid))
    expect({ other => 1 }[load_file(valid)]).to eq(1)
    expect(described_class.new(definition.merge(version: "2.0.0"), source: "x")).not_to eq(other)
  end

  {
    "step_templates: []" => "step_templates", "steps: []" => 'did you mean "step_templates"',
    "step_templates: [{name: a, handler_class: A, default_retry_limit: -1}]" => "step_templates[0].default_retry_limit",
    "step_templates: [{name: a, handler_class: A, depend_on_step: b}]" => "depends_on_step",
    "step_templates: [{name: a, handler_class: A, depends_on_step: b}]" => "step_templates[0]",
    "step_templates: [{name: a, handler_class: A, depends_on_step: a}]" => "step_templates[0]",
    "step_templates: [{name: a, handler_class: A}, {name: a, handler_class: A}]" => "step_templates[1]",
    "step_templates: [{name: a, handler_class: A, depends_on_step: b}, " \
    "{name: b, handler_class: A, depends_on_step: a}]" => "in a circle",
    "version: 1.0\nstep_templates: [{name: a, handler_class: A}]" => "version",
    "schema: {a: .nan}\nstep_templates: [{name: a, handler_class: A}]" => "template.schema.a is NaN",
    "environment: test\nstep_templates: [{name: a, handler_class: A}]" => "environment"
  }.each do |content, message|
    it "refuses #{content.inspect} with the path of the file and the key" do
      expect { load_file("name: order\n#{content}\n") }.to raise_error(TaskerCore::InvalidTemplate) { |error|
        expect(error.message).to start_with("#{path}: ").and include(message)
        expect(error.details).to include("file" => path, "key" => an_instance_of(String))
      }
    end
  end

  describe "with environments" do
    let(:content) do
      "#{valid}environments:\n  test:\n    description: for tests\n  broken:\n    version: x.y\n"
    end

    it "is what the environment makes of it" do
      valid = content.sub("x.y", "2.0.0")

      expect([load_file(valid, environment: "test"), load_file(valid)].map(&:description)).to eq(["for tests", nil])
      expect(load_file(valid, environment: "test").source).to eq("#{path} (environment test)")
    end

    it "takes the environment of the configuration unless told otherwise" do
      File.write(path, content.sub("test:", "#{TaskerCore.configuration.environment}:").sub("x.y", "2.0.0"))

      expect(described_class.load_file(path).description).to eq("for tests")
    end

    it "names the environment that makes it wrong, whichever is asked for" do
      [nil, "test", "broken"].each do |environment|
        expect { load_file(content, environment: environment) }
          .to raise_error(TaskerCore::InvalidTemplate, /\A#{Regexp.escape(path)} \(environment broken\): version/)
      end
    end

    it "refuses a condition of another environment that cannot be read" do
      overridden = "#{valid}environments:\n  production:\n    step_templates:\n      - {name: load, when: '1 +'}\n"

      expect { load_file(overridden, environment: "test") }
        .to raise_error(TaskerCore::InvalidTemplate, /\(environment production\): step_templates\[0\].when/)
    end
  end
end
