# frozen_string_literal: true

require_relative "../../bench/engine/process_clock"

RSpec.describe Bench::ProcessClock do
  # Works for some CPU time, then waits to be told to end.
  def with_child(work)
    go, tell = IO.pipe
    done, report = IO.pipe
    pid = fork do
      tell.close
      work(work)
      report.puts("worked")
      go.read
      exit!
    end
    done.gets
    yield pid, -> { [tell.close, Process.wait(pid)] }
  ensure
    [go, tell, done, report].each(&:close)
  end

  def work(seconds)
    nil until Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID) > seconds
  end

  it "knows the CPU time of another process until that has ended" do
    with_child(0.2) do |pid, finish|
      expect(described_class.seconds(pid)).to be_between(0.2, 0.4)
      finish.call
      expect(described_class.seconds(pid)).to be_nil
    end
  end

  it "counts a child alike while it runs and when it has ended" do
    before = described_class.family_seconds(Process.pid)
    with_child(0.2) do |_pid, finish|
      running = described_class.family_seconds(Process.pid)
      finish.call
      ended = described_class.family_seconds(Process.pid)
      expect([running - before, ended - running]).to match([be_between(0.2, 0.5), be_between(-0.02, 0.1)])
    end
  end

  it "knows the parent and the largest memory of a process" do
    with_child(0) do |pid, finish|
      expect([described_class.parent(pid), described_class.peak_rss_mb(pid)]).to match([Process.pid, be > 1])
      finish.call
    end
    expect(described_class.peak_rss_mb(-1)).to be_nil
  end
end
