# frozen_string_literal: true

require "fileutils"
require "json"
require "tmpdir"
require_relative "../../../rakelib/locked_crates"

RSpec.describe LockedCrates do
  subject(:crates) { described_class.new }

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
      expect(crates.allowed?(expression)).to be(answer)
    end
  end

  it "names the crate and its licence" do
    crate = { "name" => "kept", "version" => "1.2.3", "license" => "AGPL-3.0" }
    allow(crates).to receive(:packages).and_return([crate])
    expect(crates.complaints).to match([/\Akept 1\.2\.3: licence "AGPL-3.0", allowed: .*MIT/])
  end

  it "finds withdrawn versions in what cargo has read of the registry" do
    Dir.mktmpdir do |home|
      index = FileUtils.mkdir_p(File.join(home, "registry/index/somewhere/.cache/ke/pt")).first
      entries = [["1.2.3", true], ["1.2.4", false]].map do |version, yanked|
        "#{version}\0#{JSON.generate("name" => "kept", "vers" => version, "yanked" => yanked)}\0"
      end
      File.binwrite(File.join(index, "kept"), "\x03head\0#{entries.join}")
      allow(crates).to receive(:cargo_home).and_return(home)
      allow(crates).to receive(:packages).and_return(
        %w[1.2.3 1.2.4].map { |version| { "name" => "kept", "version" => version, "license" => "MIT" } }
      )
      expect(crates.complaints).to eq(["kept 1.2.3 was withdrawn by its authors"])
    end
  end
end
