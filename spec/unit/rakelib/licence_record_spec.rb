# frozen_string_literal: true

require "tmpdir"
require_relative "../../../rakelib/licence_record"

RSpec.describe LicenceRecord do
  # A lock file whose crates have these licences, as far as their sources are here.
  def lock(licences)
    crates = licences.keys.map { |label| LockedCrates::Crate.new(*label.split) }
    instance_double(LockedCrates, path: "Cargo.lock", crates: crates, complaints: []).tap do |lock|
      crates.each { |crate| allow(lock).to receive(:licence).with(crate).and_return(licences[crate.to_s]) }
    end
  end

  def record(licences, gems: [])
    gemspec = Gem::Specification.new("used", "1") { |spec| gems.each { |name| spec.add_dependency(name) } }
    described_class.new(@path, { "Crates" => lock(licences) }, gemspec)
  end

  around do |example|
    Dir.mktmpdir do |folder|
      @path = File.join(folder, "licences.md")
      example.run
    end
  end

  it "is current as it was written, also where the sources of crates are not" do
    record({ "a 1.0.0" => "MIT", "b 2.0.0" => "ISC" }).write
    expect(File.read(@path)).to include("| a | 1.0.0 | MIT |\n| b | 2.0.0 | ISC |\n")
    expect(record({ "a 1.0.0" => nil, "b 2.0.0" => "ISC" }).complaints).to eq([])
  end

  it "is not current once a crate or a licence is another one" do
    record({ "a 1.0.0" => "MIT", "b 2.0.0" => "ISC" }).write
    stale = [/licences\.md is not current: run .*rake licences/]
    expect(record({ "a 1.0.0" => "MIT" }).complaints).to match(stale)
    expect(record({ "a 1.0.0" => "MIT", "b 2.0.0" => "Zlib" }).complaints).to match(stale)
    unknown = record({ "a 1.0.0" => "MIT", "b 2.0.1" => nil })
    expect(unknown.complaints).to match([/\Ab 2\.0\.1: licence "unknown"/, *stale])
  end

  it "names what has a licence that is not allowed" do
    licences = record({ "kept 1.2.3" => "AGPL-3.0" })
    licences.write
    expect(licences.complaints).to match([/\Akept 1\.2\.3: licence "AGPL-3.0", allowed: .*MIT/])
  end

  it "lists the gems that the gem needs" do
    licences = record({ "a 1.0.0" => "MIT" }, gems: ["rspec-core"])
    licences.write
    expect(File.read(@path)).to include("| rspec-core | any | MIT |")
    expect(licences.complaints).to eq([])
  end
end
