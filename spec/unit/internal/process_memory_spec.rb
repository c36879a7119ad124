# frozen_string_literal: true

require "tasker_core/internal/process_memory"

RSpec.describe TaskerCore::Internal::ProcessMemory do
  it "grows with what a process keeps" do
    reader, writer = IO.pipe
    pid = fork do
      kept = "x" * 100_000_000
      writer.write(kept[0])
      sleep
    end
    reader.readpartial(1)

    expect(described_class.megabytes(pid)).to be > described_class.megabytes(Process.pid) + 50
  ensure
    Process.kill("KILL", pid) && Process.wait(pid)
    [reader, writer].each(&:close)
  end

  it "is not known of a process that has ended" do
    pid = fork { nil }
    Process.wait(pid)

    expect(described_class.megabytes(pid)).to be_nil
  end
end
