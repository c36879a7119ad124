# frozen_string_literal: true

require "fileutils"
require "json"
require "pg"
require "rbconfig"
require "tmpdir"

RSpec.describe TaskerCore::Internal::EmbeddedPostgres do
  subject(:postgres) { described_class.new(data_folder: @folder) }

  # Making a cluster takes long, so most examples begin with a copy of this one. The server's user,
  # who is another one when root runs the specs, has to pass the folder above.
  before(:context) do
    @root = Dir.mktmpdir("tasker-embedded-")
    File.chmod(0o711, @root)
    @pristine = File.join(@root, "pristine")
    first = described_class.new(data_folder: @pristine)
    first.start
    first.stop
  end

  after(:context) { FileUtils.rm_rf(@root) }

  around do |example|
    @folder = File.join(@root, "data")
    FileUtils.cp_r(@pristine, @folder, preserve: true) unless example.metadata[:fresh]
    example.run
  ensure
    postgres.stop
    FileUtils.rm_rf(File.join(@root, "data"))
  end

  def sql(text)
    connection = PG.connect(postgres.url)
    connection.exec(text).values.flatten
  ensure
    connection&.close
  end

  # The folder of the server, of which there is one.
  def server_folder
    Dir.glob(File.join(@folder, "postgres-*")).first
  end

  def wait_for_end(pid)
    wait_until("the server is gone") { !Dir.exist?("/proc/#{pid}") || File.binread("/proc/#{pid}/cmdline").empty? }
  end

  def kill_server
    postgres.status.pid.tap { |pid| Process.kill(:KILL, pid) && wait_for_end(pid) }
  end

  it "makes a cluster with a database that libpq and the native client reach", :fresh do
    expect(postgres.start).to eq(:started)
    expect(sql("SELECT current_database(), pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'tasker'"))
      .to eq(%w[tasker UTF8])
    client = TaskerCore::Internal::Bridge::Client.connect(JSON.generate("url" => postgres.url))
    expect(client.schema_version).to eq(0)
    client.close
  end

  it "is as durable as Postgres is and closed to everybody else" do
    postgres.start
    expect(sql(<<~SQL)).to eq(["", "on", "on", "on"])
      SELECT setting FROM pg_settings
      WHERE name IN ('fsync', 'full_page_writes', 'listen_addresses', 'synchronous_commit') ORDER BY setting
    SQL
    modes = [server_folder, *%w[data socket].map { |name| File.join(server_folder, name) }]
            .map { |path| File.stat(path).mode & 0o777 }
    expect(modes).to eq([0o700] * 3)
  end

  it "leaves a running server alone" do
    postgres.start
    pid = postgres.status.pid
    expect([postgres.start, postgres.status.pid]).to eq([:running, pid])
  end

  it "keeps the data between runs" do
    postgres.start
    sql("CREATE TABLE kept AS SELECT 42 AS answer")
    expect([postgres.stop, postgres.status.running?, postgres.stop]).to eq([:stopped, false, :not_running])
    expect([postgres.start, sql("SELECT answer FROM kept")]).to eq([:started, ["42"]])
  end

  it "makes its database again where somebody has dropped it" do
    postgres.start
    PG.connect(postgres.url.sub(%r{/tasker\z}, "/postgres")).tap { |one| one.exec("DROP DATABASE tasker") }.close
    postgres.stop
    postgres.start
    expect(sql("SELECT 1")).to eq(["1"])
  end

  it "is started by one of several processes, and ready for all of them", :fresh do
    script = <<~RUBY
      postgres = TaskerCore::Internal::EmbeddedPostgres.new(data_folder: ARGV[0])
      outcome = postgres.start
      connection = PG.connect(postgres.url)
      print outcome, connection.exec("SELECT 1").getvalue(0, 0)
      connection.close
    RUBY
    command = [RbConfig.ruby, "-I", "lib", "-rpg", "-rtasker_core", "-e", script, @folder]
    processes = Array.new(4) { IO.popen(command, err: %i[child out]) }
    outcomes = processes.map { |process| process.read.tap { process.close } }
    expect(outcomes.sort).to eq(%w[running1 running1 running1 started1])
  end

  it "starts after the server was killed, with all that was committed" do
    postgres.start
    sql("CREATE TABLE kept AS SELECT 42 AS answer")
    session = PG.connect(postgres.url)
    session.exec("BEGIN; INSERT INTO kept VALUES (43)")
    kill_server
    expect([postgres.status.running?, postgres.start, sql("SELECT answer FROM kept")]).to eq([false, :started, ["42"]])
    session.close
  end

  it "starts although another process of the same user got the process id of the killed server" do
    postgres.start
    kill_server
    other = Process.spawn(*TaskerCore::Internal::Privileges.current.wrap(%w[sleep 60]))
    file = File.join(server_folder, "data", "postmaster.pid")
    File.write(file, File.read(file).sub(/\A\d+/, other.to_s))
    expect(postgres.start).to eq(:started)
  ensure
    Process.kill(:KILL, other)
    Process.wait(other)
  end

  it "goes on where the making of a cluster was interrupted" do
    File.rename(File.join(server_folder, "data"), File.join(server_folder, "data.unfinished"))
    expect([postgres.start, sql("SELECT 1")]).to eq([:started, ["1"]])
  end

  it "starts empty after a reset" do
    postgres.start
    sql("CREATE TABLE lost ()")
    expect(postgres.reset(force: true)).to eq(:started)
    expect(sql("SELECT count(*) FROM pg_tables WHERE tablename = 'lost'")).to eq(["0"])
  end

  it "says why the server does not start, and where its log is" do
    File.write(File.join(server_folder, "data", "postgresql.conf"), "wal_level = sideways\n", mode: "a")
    expect { postgres.start }
      .to raise_error(TaskerCore::DatabaseUnavailable,
                      %r{did not start: .*FATAL: .*configuration file.*log: #{server_folder}/server\.log}m)
  end

  it "names the user for whom the data folder is out of reach", if: Process.euid.zero? do
    File.chmod(0o700, @root)
    expect { postgres.start }
      .to raise_error(TaskerCore::ConfigurationError, /the user \w+, who runs the server, cannot enter #{@folder}/)
  ensure
    File.chmod(0o711, @root)
  end

  context "with a path that is too long for a socket", :fresh do
    before { @folder = File.join(@folder, "long" * 20, "und Umläute, auch") }

    it "puts the socket elsewhere, and takes it away at a reset" do
      postgres.start
      expect([sql("SHOW unix_socket_directories").first, sql("SELECT 1")]).to match([%r{\A/tmp/tasker-\h+\z}, ["1"]])
      socket = sql("SHOW unix_socket_directories").first
      expect(File.stat(socket).mode & 0o777).to eq(0o700)
      postgres.stop
      FileUtils.rm_rf(socket)
    end

    it "does not trust a folder that somebody else has put there" do
      socket = postgres.status.url[/@(.*):/, 1].gsub("%2F", "/")
      Dir.mkdir(socket)
      File.chmod(0o777, socket)
      expect { postgres.start }.to raise_error(TaskerCore::ConfigurationError, /#{socket} must/)
    ensure
      FileUtils.rm_rf(socket)
    end
  end
end
