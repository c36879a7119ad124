# frozen_string_literal: true

require "tmpdir"

RSpec.describe TaskerCore::Internal::FileLock do
  around { |example| Dir.mktmpdir { |folder| (@path = File.join(folder, "lock")) && example.run } }

  # Holds the lock in another process until the block ends.
  def held_elsewhere
    script = 'File.open(ARGV[0], "w") { |f| f.flock(File::LOCK_EX); puts "held"; $stdout.flush; $stdin.read }'
    IO.popen([RbConfig.ruby, "-e", script, @path], "r+") do |process|
      process.gets
      yield process
    end
  end

  it "runs the block and returns what it returns" do
    expect(described_class.new(@path, timeout: 1).hold { 42 }).to eq(42)
  end

  it "gives up when another process holds the lock for too long, and names the file" do
    held_elsewhere do
      expect { described_class.new(@path, timeout: 0.05).hold { raise "not alone" } }
        .to raise_error(TaskerCore::DatabaseUnavailable, /holds #{Regexp.escape(@path)}/)
    end
  end

  it "gets the lock of a process that was killed" do
    held_elsewhere do |process|
      Process.kill(:KILL, process.pid)
      expect(described_class.new(@path, timeout: 10).hold { :mine }).to eq(:mine)
    end
  end

  it "frees the lock when the block raises" do
    lock = described_class.new(@path, timeout: 1)
    expect { lock.hold { raise "oops" } }.to raise_error("oops")
    expect(lock.hold { :again }).to eq(:again)
  end
end
