# frozen_string_literal: true

require "pathname"

RSpec.describe TaskerCore::Internal::TemplateLoader do
  around { |example| Dir.mktmpdir { |folder| (@folder = folder) && example.run } }

  before { stub_const("LoadedHandler", Class.new { def process(task, sequence, step) = nil }) }

  def write(file, name: File.basename(file, ".*"), handler: "LoadedHandler")
    path = File.join(@folder, file)
    FileUtils.mkdir_p(File.dirname(path))
    File.write(path, "name: #{name}\nstep_templates: [{name: only, handler_class: #{handler}}]\n")
    path
  end

  def load(*paths)
    described_class.new(environment: "test").load(paths).map(&:name)
  end

  it "refuses a path that no file can have" do
    expect { load("a\u0000b") }.to raise_error(TaskerCore::InvalidArgument, /no template file matches "a\\u0000b"/)
  end

  it "loads files in the order given, each once" do
    paths = [write("b.yaml"), write("a.yml")]

    expect(load(*paths, paths.first)).to eq(%w[b a])
  end

  it "loads the files that a pattern matches, by name" do
    write("b.yaml")
    write("a.yaml")
    write("c.txt")

    expect(load(File.join(@folder, "*.yaml"))).to eq(%w[a b])
  end

  it "loads the YAML files of a folder at any depth" do
    write("a.yaml")
    write("deeper/still/b.yml")
    write("c.txt")

    expect(load(@folder)).to eq(%w[a b])
  end

  it "accepts a Pathname, and a file with characters of patterns in its name" do
    expect(load(Pathname(write("a.yaml")), write("[b].yaml", name: "b"))).to eq(%w[a b])
  end

  it "refuses a path or pattern that matches nothing" do
    ["none.yaml", "*.none", "."].each do |path|
      expect { load(File.join(@folder, path)) }
        .to raise_error(TaskerCore::InvalidArgument, /no template file matches .*#{Regexp.escape(path)}/)
    end
  end

  it "names file, step and class when a handler is missing" do
    path = write("a.yaml", handler: "LoadedHandlr")

    expect { load(path) }.to raise_error(TaskerCore::HandlerNotFound) { |error|
      expect(error.message).to start_with("#{path}: step \"only\": handler class LoadedHandlr cannot be found")
      expect(error.details).to include("file" => path, "step" => "only", "handler_class" => "LoadedHandlr")
    }
  end

  it "loads all or nothing" do
    write("a.yaml")
    write("b.yaml", handler: "Missing")

    expect { TaskerCore.load_templates(@folder) }.to raise_error(TaskerCore::HandlerNotFound)
    expect(TaskerCore.templates).to eq([])
  end
end
