# frozen_string_literal: true

require "fileutils"
require "tmpdir"

RSpec.describe TaskerCore::Internal::PostgresBinaries do
  around { |example| Dir.mktmpdir { |folder| (@root = folder) && example.run } }

  # Programs that only tell their version.
  def install(version, folder: "#{version}/bin", programs: described_class::PROGRAMS)
    path = FileUtils.mkdir_p(File.join(@root, folder)).first
    programs.each do |name|
      File.write(File.join(path, name), "#!/bin/sh\necho '#{name} (PostgreSQL) #{version} (Somewhere)'\n")
      File.chmod(0o755, File.join(path, name))
    end
    path
  end

  def where(path: "")
    { folders: [File.join(@root, "*/bin")], env: { "PATH" => path } }
  end

  it "finds the newest version, by number and not by letter" do
    %w[9.6.24 13.2 15.4 15.18].each { |version| install(version) }
    versions = described_class.installed(**where).map { |one| [one.major, one.minor] }
    expect(versions).to eq([[15, 18], [15, 4], [13, 2]])
    expect(described_class.find(**where).path("pg_ctl")).to eq(File.join(@root, "15.18/bin/pg_ctl"))
  end

  it "understands versions before their release" do
    install("17beta2")
    expect(described_class.find(**where).major).to eq(17)
  end

  it "finds the version that is asked for" do
    %w[14.1 15.4].each { |version| install(version) }
    expect(described_class.find(major: 14, **where).major).to eq(14)
  end

  it "looks into the folders of PATH" do
    path = install("16.1", folder: "elsewhere")
    expect(described_class.find(**where(path: "/nowhere:#{path}")).folder).to eq(path)
  end

  it "passes over clients without a server, and programs that do not run" do
    install("15.4", programs: %w[psql pg_ctl])
    broken = install("14.1")
    File.write(File.join(broken, "postgres"), "\x7FELF")
    expect(described_class.installed(**where)).to eq([])
  end

  it "says what to install when there is none" do
    expect { described_class.find(**where) }
      .to raise_error(TaskerCore::DatabaseUnavailable,
                      /Postgres 13 or newer .*apt-get install postgresql`.*DATABASE_URL/)
  end

  it "says what to install when the version of the data is missing" do
    install("15.4")
    expect { described_class.find(major: 14, **where) }
      .to raise_error(TaskerCore::DatabaseUnavailable, /Postgres 14 .*postgresql-14`.*brew install postgresql@14`/)
  end
end
