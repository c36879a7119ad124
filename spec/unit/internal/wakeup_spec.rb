# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::Wakeup do
  # Not lazily: RSpec's own lock around that may not be taken in a signal trap.
  let!(:wakeup) { described_class.new }

  after { wakeup.close }

  def seconds
    start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    yield
    Process.clock_gettime(Process::CLOCK_MONOTONIC) - start
  end

  it "ends a wait that is going on" do
    waiter = Thread.new { wakeup.wait(30) }
    wait_until("the thread waits") { waiter.status == "sleep" }
    wakeup.ring

    expect(waiter.join(5)).to be(waiter)
  end

  it "ends the next wait when nobody waits" do
    wakeup.ring

    expect(seconds { wakeup.wait(30) }).to be < 5
  end

  it "waits again after that" do
    3.times { wakeup.ring }
    wakeup.wait(30)

    expect(seconds { wakeup.wait(0.05) }).to be >= 0.05
  end

  it "may be rung from a signal trap" do
    before = trap("USR1") { wakeup.ring }
    Process.kill("USR1", Process.pid)

    expect(seconds { wakeup.wait(30) }).to be < 5
  ensure
    trap("USR1", before)
  end

  it "may be rung more often than its pipe can hold, and after it was closed" do
    100_000.times { wakeup.ring }
    wakeup.close

    expect { wakeup.ring }.not_to raise_error
  end
end
