# frozen_string_literal: true

require "fileutils"
require "tmpdir"
require_relative "../../../rakelib/signature_files"

RSpec.describe SignatureFiles do
  # @param files [Hash{String => String}] path => text
  def complaints(files)
    Dir.mktmpdir do |root|
      files.each do |path, text|
        FileUtils.mkdir_p(File.dirname(File.join(root, path)))
        File.write(File.join(root, path), text)
      end
      Dir.chdir(root) { return described_class.new.complaints }
    end
  end

  it "is content with a line for each method" do
    expect(complaints("lib/a/b.rb" => "def self.go(x)\n  def ready?\n  def []=(k, v)\n",
                      "sig/a/b.rbs" => "def self.go: (X) -> void\ndef ready?: () -> bool\ndef []=: (X, Y) -> Y\n"))
      .to eq([])
  end

  it "finds files without a signature and signatures without a file" do
    expect(complaints("lib/a.rb" => "", "sig/b.rbs" => ""))
      .to eq(["no signature for lib/a.rb", "no code for sig/b.rbs"])
  end

  it "finds methods without a signature" do
    expect(complaints("lib/a.rb" => "  def one; end\n  private_class_method def two(x)\n",
                      "sig/a.rbs" => "def one: () -> nil"))
      .to eq(["sig/a.rbs has no two"])
  end
end
