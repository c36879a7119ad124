# frozen_string_literal: true

require "tmpdir"

RSpec.describe TaskerCore::Internal::PostmasterFile do
  subject(:file) { described_class.new(@data) }

  around { |example| Dir.mktmpdir { |folder| (@data = folder) && example.run } }

  def write(pid, status: "ready")
    lines = [pid, @data, 1_700_000_000, 5432, @data, "", "  5432001    131072", "#{status}   "]
    File.write(file.path, lines.join("\n"))
  end

  # A process with these words on its command line.
  def with_process(*words)
    process = IO.popen([RbConfig.ruby, "-e", "$stdin.read", "--", *words], "w")
    yield process.pid
  ensure
    process.close
  end

  it "knows no server without a file" do
    expect([file.pid, file.ready?, file.socket_folder]).to eq([nil, false, nil])
  end

  it "knows a living server of its folder" do
    with_process("-D", @data) do |pid|
      write(pid)
      expect([file.pid, file.ready?, file.socket_folder]).to eq([pid, true, @data])
    end
  end

  it "does not call a server ready that is starting" do
    with_process("-D", @data) do |pid|
      write(pid, status: "starting")
      expect([file.pid, file.ready?]).to eq([pid, false])
    end
  end

  it "takes no other process for the server that has its process id" do
    with_process("-D", "#{@data}2") do |pid|
      write(pid)
      expect([file.pid, file.ready?]).to eq([nil, false])
    end
  end

  it "takes a process that has ended for none" do
    write(described_class::NOBODY)
    expect(file.pid).to be_nil
  end

  it "says so where the folder is closed to this user" do
    allow(File).to receive(:readlines).and_raise(Errno::EACCES)
    expect { file.pid }.to raise_error(TaskerCore::ConfigurationError, /#{@data} is another user's; .*TASKER_DATA_DIR/)
  end

  it "reads a file that is being written as nothing" do
    File.write(file.path, "")
    expect([file.pid, file.ready?]).to eq([nil, false])
  end

  describe "#disown" do
    let(:lock) { File.join(@data, ".s.PGSQL.5432.lock") }

    it "replaces the process id of a dead server, in the socket's lock as well, and nothing else" do
      write(Process.pid)
      File.write(lock, "#{Process.pid}\n#{@data}\n")
      rest = File.readlines(file.path).drop(1)
      file.disown
      expect(File.readlines(file.path)).to eq(["#{described_class::NOBODY}\n", *rest])
      expect(File.read(lock)).to eq("#{described_class::NOBODY}\n#{@data}\n")
    end

    it "leaves the file of a living server alone" do
      with_process("-D", @data) do |pid|
        write(pid)
        expect { file.disown }.not_to(change { File.read(file.path) })
      end
    end

    it "does nothing without a file" do
      file.disown
      expect(File.exist?(file.path)).to be(false)
    end
  end
end
