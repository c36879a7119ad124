# frozen_string_literal: true

require "tmpdir"
require "tasker_core/cli"

RSpec.describe TaskerCore::CLI::Loader do
  around do |example|
    Dir.mktmpdir do |folder|
      @folder = File.realpath(folder)
      example.run
    end
  end

  def file(name, text = "")
    File.join(@folder, name).tap { |path| File.write(path, text) }
  end

  def refusal(path)
    described_class.load([path])
  rescue TaskerCore::CLI::UsageError => e
    e.message
  end

  it "stands for the file itself" do
    path = file("a.rb")
    expect(described_class.files_of(path)).to eq([path])
  end

  it "stands for a folder's Ruby files and then its templates, each in order" do
    paths = %w[b.rb a.rb z.yml c.yaml readme.md].to_h { |name| [name, file(name)] }
    expect(described_class.files_of(@folder)).to eq(paths.values_at("a.rb", "b.rb", "c.yaml", "z.yml"))
  end

  it "runs Ruby files in order" do
    loaded = stub_const("LOADED", [])
    described_class.load(%w[one two].map { |name| file("#{name}.rb", "LOADED << #{name.inspect}") })
    expect(loaded).to eq(%w[one two])
  end

  it "refuses what does not exist" do
    expect(refusal("#{@folder}/none.rb")).to eq("-r #{@folder}/none.rb: there is no such file or folder")
  end

  it "refuses a folder with nothing to load" do
    file("readme.md")
    expect(refusal(@folder)).to match(/the folder holds no .rb, .yaml or .yml file\z/)
  end

  it "names file, error and line when the file's code fails" do
    path = file("bad.rb", "\n\nraise ArgumentError, \"no key\"\n")
    expect(refusal(path)).to eq("-r #{path}: ArgumentError: no key (line 3)")
  end

  it "refuses a file that is not Ruby" do
    path = file("bad.rb", "def (")
    expect(refusal(path)).to start_with("-r #{path}: SyntaxError: ")
  end

  it "refuses a file that needs another that is missing" do
    path = file("bad.rb", "require \"no/such/library\"")
    expect(refusal(path)).to start_with("-r #{path}: LoadError: ")
  end

  { "recurses without an end" => ["def self.again = again\nagain\n", "SystemStackError: stack level too deep"],
    "raises what is no StandardError" => ["raise Exception, \"gone\"", "Exception: gone (line 1)"] }
    .each do |what, (text, problem)|
      it "refuses a file that #{what}" do
        path = file("bad.rb", text)
        expect(refusal(path)).to start_with("-r #{path}: #{problem}")
      end
    end

  it "lets a file end the process" do
    expect { described_class.load([file("end.rb", "exit 3")]) }
      .to raise_error(SystemExit) { |error| expect(error.status).to eq(3) }
  end

  it "leaves errors of the library as they are" do
    path = file("bad.rb", "raise TaskerCore::ConfigurationError, \"no queue\"")
    expect { described_class.load([path]) }.to raise_error(TaskerCore::ConfigurationError, "no queue")
  end
end
