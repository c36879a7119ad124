# frozen_string_literal: true

require "fileutils"
require "tmpdir"

RSpec.describe TaskerCore::Internal::Extension do
  around do |example|
    Dir.mktmpdir do |folder|
      @folder = folder
      $LOAD_PATH.unshift(folder)
      example.run
    ensure
      $LOAD_PATH.delete(folder)
    end
  end

  def library(name, text)
    File.write(File.join(@folder, "#{name}.rb"), text)
    name
  end

  it "looks for the extension of this Ruby's version first" do
    version = RUBY_VERSION.split(".").first(2).join(".")
    expect(described_class::PATHS).to eq(["tasker_core/#{version}/tasker_core", "tasker_core/tasker_core"])
  end

  it "loads the first that is there" do
    there = library("extension_that_is_there", "$extension_was_loaded = true")
    expect(described_class.load(["extension_that_is_missing", there])).to eq(there)
  end

  it "says what to do when there is none" do
    expect { described_class.load(%w[extension_a extension_b]) }
      .to raise_error(LoadError, /looked for extension_a and extension_b.*rake compile.*gem pristine/)
  end

  it "tells one that cannot be loaded from one that is missing" do
    broken = library("extension_that_is_broken", 'raise LoadError, "libwanted.so.1: cannot open"')
    expect { described_class.load([broken, "extension_b"]) }
      .to raise_error(LoadError, /cannot be loaded.*rake clobber compile.*libwanted\.so\.1/)
  end
end
