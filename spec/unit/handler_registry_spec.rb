# frozen_string_literal: true

RSpec.describe TaskerCore::HandlerRegistry do
  let(:handler) { Class.new(TaskerCore::StepHandler::Base) { def process(task, sequence, step) = nil } }

  def refusal(name, text)
    raise_error(TaskerCore::HandlerNotFound) { |error|
      expect(error.message).to include(name).and include(text)
      expect(error.details["handler_class"]).to eq(name)
    }
  end

  it "finds a class, also inside modules and with a leading ::" do
    stub_const("Registry::Payments::Charge", handler)

    expect([described_class.resolve("Registry::Payments::Charge"),
            described_class.resolve("::Registry::Payments::Charge")]).to eq([handler, handler])
  end

  it "finds a class that does not descend from Base but defines process" do
    stub_const("PlainHandler", Class.new { def process(*) = nil })

    expect(described_class.resolve("PlainHandler")).to be(PlainHandler)
  end

  it "lets autoload load a class" do
    Dir.mktmpdir do |folder|
      file = File.join(folder, "autoloaded.rb")
      File.write(file, "module AutoloadScope; class Late < TaskerCore::StepHandler::Base; def process(*) = 1; end; end")
      stub_const("AutoloadScope", Module.new).autoload(:Late, file)

      expect(described_class.resolve("AutoloadScope::Late").name).to eq("AutoloadScope::Late")
    end
  end

  it "says what is near when a class is missing" do
    stub_const("ChargeTheCard", handler)
    stub_const("Payments::ReserveStock", Class.new(handler))

    expect { described_class.resolve("ChargeTheCrad") }.to refusal("ChargeTheCrad", 'did you mean "ChargeTheCard"?')
    expect { described_class.resolve("ReserveStock") }.to refusal("ReserveStock", '"Payments::ReserveStock"?')
  end

  it "does not take a constant from elsewhere for one of a module" do
    stub_const("Shop", Module.new)
    stub_const("OuterHandler", handler)

    expect { described_class.resolve("Shop::OuterHandler") }.to refusal("Shop::OuterHandler", "cannot be found")
  end

  ["charge_card", "", "Charge card", "Charge\n", "A::", "A:B", "Object.new", "\xFF"].each do |name|
    it "refuses #{name.inspect}, which cannot be a class" do
      expect { described_class.resolve(name) }
        .to raise_error(TaskerCore::HandlerNotFound, "handler class #{name.inspect} is not the name of a class")
    end
  end

  {
    "a module" => -> { Module.new }, "a number" => -> { 5 },
    "a class without process" => -> { Class.new }, "Base without a process of its own" =>
      -> { Class.new(TaskerCore::StepHandler::Base) },
    "a private process" => -> { Class.new { private def process(task, sequence, step) = nil } },
    "too few arguments" => -> { Class.new(TaskerCore::StepHandler::Base) { def process(task) = nil } },
    "too many arguments" => -> { Class.new { def process(task, sequence, step, more) = nil } }
  }.each do |what, make|
    it "refuses #{what}" do
      stub_const("NoHandler", make.call)

      expect { described_class.resolve("NoHandler") }.to refusal("NoHandler", "handler class NoHandler ")
    end
  end

  it "refuses a name whose scope is no module" do
    stub_const("FIVE", 5)
    stub_const("Five", 5)

    expect { described_class.resolve("Five::Handler") }.to refusal("Five::Handler", "5 is no module")
  end

  it "says why a file that should define a class cannot be loaded" do
    Dir.mktmpdir do |folder|
      File.write(File.join(folder, "broken.rb"), "class Broken < ")
      stub_const("BrokenScope", Module.new).autoload(:Broken, File.join(folder, "broken.rb"))

      expect { described_class.resolve("BrokenScope::Broken") }.to refusal("BrokenScope::Broken", "SyntaxError")
    end
  end

  {
    "\nSomethingElse" => "(NameError: uninitialized constant SomethingElse, PATH:2)",
    "Object.nothing" => "(NoMethodError: undefined method ",
    "{}.fetch(:key)" => "(KeyError: key not found: :key, PATH:1)",
    "require 'no/such/file'" => "(LoadError: cannot load such file -- no/such/file)"
  }.each do |code, reason|
    it "says what a file that should define a class lacks: #{code.strip}" do
      Dir.mktmpdir do |folder|
        path = File.join(File.realpath(folder), "other.rb")
        File.write(path, code)
        stub_const("OtherScope", Module.new).autoload(:Other, path)
        text = reason.sub("PATH", path)

        expect { described_class.resolve("OtherScope::Other") }
          .to refusal("OtherScope::Other", "cannot be loaded #{text}")
      end
    end
  end
end
