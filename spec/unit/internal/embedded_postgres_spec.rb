# frozen_string_literal: true

require "fileutils"
require "tempfile"
require "tmpdir"

RSpec.describe TaskerCore::Internal::EmbeddedPostgres do
  describe ".default_data_folder" do
    def folder(env, euid: 1000)
      allow(Process).to receive(:euid).and_return(euid)
      described_class.default_data_folder(env: env)
    end

    it "is the value of TASKER_DATA_DIR, for everybody" do
      expect(folder({ "TASKER_DATA_DIR" => "/srv/x", "HOME" => "/home/a" })).to eq("/srv/x")
      expect(folder({ "TASKER_DATA_DIR" => "/srv/x" }, euid: 0)).to eq("/srv/x")
    end

    it "counts a relative TASKER_DATA_DIR from the current folder" do
      expect(folder({ "TASKER_DATA_DIR" => "data" })).to eq(File.join(Dir.pwd, "data"))
    end

    it "is in /var/lib for root" do
      expect(folder({ "HOME" => "/root", "TASKER_DATA_DIR" => "" }, euid: 0)).to eq("/var/lib/tasker_core")
    end

    it "is in XDG_DATA_HOME for others, where that is absolute" do
      expect(folder({ "XDG_DATA_HOME" => "/data", "HOME" => "/home/a" })).to eq("/data/tasker_core")
      expect(folder({ "XDG_DATA_HOME" => "data", "HOME" => "/home/a" })).to eq("/home/a/.local/share/tasker_core")
    end

    it "is in the home folder without XDG_DATA_HOME" do
      expect(folder({ "HOME" => "/home/a" })).to eq("/home/a/.local/share/tasker_core")
    end

    it "is refused where TASKER_DATA_DIR is not UTF-8" do
      expect { folder({ "TASKER_DATA_DIR" => "/srv/\xFF" }) }
        .to raise_error(TaskerCore::ConfigurationError, /TASKER_DATA_DIR is not UTF-8/)
    end

    it "says what to set when there is no home folder" do
      allow(Dir).to receive(:home).and_raise(ArgumentError, "couldn't find HOME")
      expect { folder({}) }
        .to raise_error(TaskerCore::ConfigurationError, /set TASKER_DATA_DIR .* or DATABASE_URL/)
    end
  end

  it "deletes nothing without force" do
    Dir.mktmpdir do |folder|
      expect { described_class.new(data_folder: folder).reset }
        .to raise_error(TaskerCore::ConfigurationError, /deletes all tasks in #{folder}; .*--force/)
    end
  end

  it "uses the newest cluster that was made, and says when its Postgres is missing" do
    Dir.mktmpdir do |folder|
      %w[postgres-99 postgres-101 postgres-103 postgres-old].each { |name| FileUtils.mkdir_p("#{folder}/#{name}/data") }
      %w[postgres-99 postgres-101].each { |name| File.write("#{folder}/#{name}/data/PG_VERSION", "x") }
      postgres = described_class.new(data_folder: folder)
      expect(postgres.status.to_h).to include(major: 101, pid: nil, log: "#{folder}/postgres-101/server.log")
      expect { postgres.start }.to raise_error(TaskerCore::DatabaseUnavailable, /Postgres 101 /)
    end
  end

  it "refuses a data folder that is a file" do
    Tempfile.create do |file|
      expect { described_class.new(data_folder: file.path).start }
        .to raise_error(TaskerCore::ConfigurationError, /cannot use the data folder #{file.path}: .*TASKER_DATA_DIR/)
    end
  end

  it "has nothing to stop where nothing was started" do
    Dir.mktmpdir do |folder|
      expect(described_class.new(data_folder: File.join(folder, "none")).stop).to eq(:not_running)
      expect(Dir.children(folder)).to eq([])
    end
  end
end
