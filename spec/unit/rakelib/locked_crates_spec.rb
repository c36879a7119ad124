# frozen_string_literal: true

require "fileutils"
require "json"
require "tmpdir"
require_relative "../../../rakelib/locked_crates"

RSpec.describe LockedCrates do
  attr_reader :home

  around do |example|
    Dir.mktmpdir do |folder|
      @home = folder
      example.run
    end
  end

  {
    "MIT" => true,
    "GPL-3.0" => false,
    "" => false,
    "MIT/Apache-2.0" => true,
    "GPL-3.0 OR MIT" => true,
    "MIT AND GPL-3.0" => false,
    "Apache-2.0 WITH LLVM-exception OR GPL-2.0" => true,
    "(MIT OR Apache-2.0) AND Unicode-3.0" => true,
    "(GPL-3.0 AND MIT) OR (LGPL-2.1 AND (Zlib OR MIT))" => false
  }.each do |expression, answer|
    it "#{answer ? "allows" : "refuses"} #{expression.inspect}" do
      expect(described_class.allowed?(expression)).to be(answer)
    end
  end

  def write(path, text)
    FileUtils.mkdir_p(File.dirname(path = File.join(home, path)))
    File.binwrite(path, text)
    path
  end

  # A lock file with the project's own crate and these versions of "kept".
  def locked(*versions, **options)
    crates = versions.map { |version| <<~TOML }
      [[package]]
      name = "kept"
      version = "#{version}"
      source = "registry+https://github.com/rust-lang/crates.io-index"
    TOML
    own = "[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n"
    lock = write("Cargo.lock", ["version = 4\n", own, *crates].join("\n"))
    described_class.new(lock, cargo_home: home, **options)
  end

  def publish(versions)
    entries = versions.map do |version, yanked|
      "#{version}\0#{JSON.generate("name" => "kept", "vers" => version, "yanked" => yanked)}\0"
    end
    write("registry/index/somewhere/.cache/ke/pt/kept", "\x03head\0#{entries.join}")
  end

  it "reads the licence where cargo has unpacked the crate, by its name or its text" do
    crates = locked("1.2.3", "1.2.4", "1.2.5", "1.2.6")
    write("registry/src/somewhere/kept-1.2.3/Cargo.toml", "[package]\nlicense = \"MIT OR ISC\"\n")
    write("registry/src/somewhere/kept-1.2.4/Cargo.toml", "[package]\nlicense-file = \"COPYING\"\n")
    write("registry/src/somewhere/kept-1.2.4/COPYING", "MIT License\n\nPermission is\n")
    write("registry/src/somewhere/kept-1.2.5/Cargo.toml", "[package]\n")
    expect(crates.crates.map { |crate| crates.licence(crate) }).to eq(["MIT OR ISC", "MIT", "", nil])
  end

  it "finds withdrawn versions in what cargo has read of the registry" do
    publish("1.2.3" => true, "1.2.4" => false)
    expect(locked("1.2.3", "1.2.4").complaints).to eq(["kept 1.2.3 was withdrawn by its authors"])
  end

  it "says of what it cannot tell whether it was withdrawn, unless it is not installed here" do
    publish("1.2.3" => false)
    expect(locked("1.2.3", "1.2.4").complaints).to match([/\Akept 1\.2\.4: cargo's copy .* does not have it/])
    expect(locked("1.2.3", "1.2.4", installed: false).complaints).to eq([])
  end
end
