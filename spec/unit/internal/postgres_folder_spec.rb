# frozen_string_literal: true

require "pg"
require "tmpdir"
require "uri"

RSpec.describe TaskerCore::Internal::PostgresFolder do
  def folder(path)
    described_class.new(path, major: 15)
  end

  it "keeps the socket in the folder while the kernel takes its path" do
    expect(folder("/srv/none/postgres-15").socket).to eq("/srv/none/postgres-15/socket")
  end

  it "puts the socket of a long path into a short folder that depends on the path alone" do
    long = "/#{"long/" * 20}postgres-15"
    expect(folder(long).socket).to match(%r{\A/tmp/tasker-\h{16}\z})
    expect(folder(long).socket).to eq(folder(long).socket)
    expect(folder(long).socket).not_to eq(folder("#{long}6").socket)
  end

  ["/data, old/pg", "/Bücher/pg", "/it's/pg", "/a b/pg"].each do |path|
    it "does not ask Postgres to understand the socket path #{path}" do
      expect(folder(path).socket).to match(%r{\A/tmp/tasker-\h{16}\z})
    end
  end

  it "accepts the longest path that is certain to work, and no longer one" do
    limit = described_class::SOCKET_PATH_LIMIT
    path = "/#{"x" * (limit - "//socket/.s.PGSQL.5432".bytesize)}"
    expect(folder(path).socket).to eq("#{path}/socket")
    expect(folder("#{path}x").socket).to start_with("/tmp/")
  end

  it "knows the folder of a server that runs with another one" do
    Dir.mktmpdir do |path|
      here = folder(path)
      allow(here.postmaster).to receive_messages(pid: 7, socket_folder: "/run/other")
      expect(here.url("tasker")).to eq("postgres://tasker@%2Frun%2Fother:5432/tasker")
    end
  end

  it "makes URLs that libpq and URI understand" do
    url = folder("/srv/pg").url("tasker")
    options = PG::Connection.conninfo_parse(url).to_h { |option| option.values_at(:keyword, :val) }
    expect(options).to include("host" => "/srv/pg/socket", "port" => "5432", "user" => "tasker", "dbname" => "tasker")
    expect(URI(url).path).to eq("/tasker")
  end
end
