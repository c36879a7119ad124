# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::Templates do
  subject(:templates) { described_class.new }

  def template(name, version: "0.1.0", namespace: "default", handler: "A")
    TaskerCore::TaskTemplate.new({ "name" => name, "namespace_name" => namespace, "version" => version,
                                   "step_templates" => [{ "name" => "a", "handler_class" => handler }] },
                                 source: "#{name}-#{version}-#{handler}.yaml")
  end

  def find(name, namespace: "default", version: nil)
    templates.find(name, namespace: namespace, version: version)
  end

  it "finds a template by namespace, name and version" do
    templates.add([template("a"), template("a", version: "0.2.0"), template("a", namespace: "shop")])

    expect(find("a", version: "0.1.0")).to eq(template("a"))
    expect(find("a", namespace: "shop")).to eq(template("a", namespace: "shop"))
    expect([find("a", version: "9.0.0"), find("b"), find("a", namespace: "none")]).to eq([nil, nil, nil])
  end

  it "finds the highest version where none is asked for" do
    %w[1.9.0 1.10.0 1.10.0-rc.1 1.2.0].each { |version| templates.add([template("a", version: version)]) }

    expect(find("a").version).to eq("1.10.0")
  end

  it "accepts the same definition again" do
    2.times { templates.add([template("a")]) }

    expect(templates.all).to eq([template("a")])
  end

  it "refuses another definition of the same version, naming both places, and keeps what it has" do
    templates.add([template("a")])

    expect { templates.add([template("b"), template("a", handler: "B")]) }.to raise_error(
      TaskerCore::TemplateConflict,
      "a-0.1.0-B.yaml: template default/a 0.1.0 is already defined otherwise in a-0.1.0-A.yaml; " \
      "give one of them another version or name"
    )
    expect(templates.all).to eq([template("a")])
  end

  it "forgets" do
    templates.add([template("a")])
    templates.clear

    expect(templates.all).to eq([])
  end

  it "has a template brought when one is asked for, once it is there" do
    brought = [nil, template("a")]
    templates.later { brought.shift }

    expect([find("a"), find("a"), templates.all, brought]).to eq([nil, template("a"), [template("a")], []])
  end

  describe "of which handlers are missing" do
    let(:log) { StringIO.new }
    let(:missing) { template("b", version: "0.2.0", handler: "Missing") }

    before do
      TaskerCore.configure { |c| c.logger = Logger.new(log) }
      templates.add([template("a"), template("b"), template("b", namespace: "shop")])
      templates.later { TaskerCore::HandlerRegistry.check(missing).then { missing } }
    end

    it "are set aside, told once, and keep nobody from the others" do
      2.times { expect(templates.all.map(&:to_s)).to eq(["default/a 0.1.0", "default/b 0.1.0", "shop/b 0.1.0"]) }

      expect([find("a"), find("b", version: "0.1.0"), find("b", namespace: "shop")]).to all(be)
      expect(log.string.scan(/ERROR -- : b-0\.2\.0-Missing\.yaml: step "a": .*; until then/).size).to eq(1)
    end

    it "are refused where they would be used" do
      details = include("namespace" => "default", "name" => "b", "version" => "0.2.0", "step" => "a",
                        "handler_class" => "Missing", "file" => missing.source)
      [-> { find("b") }, -> { find("b", version: "0.2.0") }, -> { templates.named("b") }].each do |look|
        expect(&look).to raise_error(TaskerCore::HandlerNotFound) { |error| expect(error.details).to details }
      end
      expect(templates.named("a")).to eq(template("a"))
    end

    it "are used as soon as the handlers are there" do
      templates.all
      stub_const("Missing", Class.new { def process(*) = nil })

      expect([find("b"), templates.aside]).to eq([missing, {}])
    end

    it "and that are not named keep nobody from any" do
      templates.set_aside("x.rb", TaskerCore::HandlerNotFound.new("x.rb: none", details: { "handler_class" => "None" }))

      expect([find("a"), templates.aside.keys.first]).to eq([template("a"), "x.rb"])
      templates.put_back(["x.rb"])
      expect(templates.aside.keys).not_to include("x.rb")
    end
  end

  it "asks again for one that was refused" do
    templates.add([template("a", handler: "B")])
    templates.later { template("a") }

    2.times { expect { templates.all }.to raise_error(TaskerCore::TemplateConflict) }
    templates.clear
    expect(templates.all).to eq([])
  end
end
