# frozen_string_literal: true

require "tasker_core/internal/child_process"

RSpec.describe TaskerCore::Internal::ChildProcess do
  let(:lifeline) { described_class.lifeline }

  after { lifeline.each(&:close) }

  def start(&body)
    described_class.start(lifeline, &body)
  end

  # A child that sleeps when this returns, its traps reset. Before that, a signal would find the traps of this process.
  def sleeping
    reader, writer = IO.pipe
    child = start { writer.write(".") && sleep }
    reader.readpartial(1)
    child
  ensure
    [reader, writer].each(&:close)
  end

  it "ends with the status that the block gives" do
    child = start { |ready| ready.call && 7 }

    expect([child.wait, child.status, child.ended?, child.ended_as_asked?]).to eq([7, 7, true, false])
  end

  it "ends as asked with any status when it is not ready, which a program is not that Ruby has not begun" do
    child = start { 7 }

    expect([child.wait, child.ended_as_asked?]).to eq([7, true])
  end

  it "ends as asked when it ends with 0" do
    child = start { 0 }
    child.wait

    expect(child).to be_ended_as_asked
  end

  %w[TERM QUIT].each do |signal|
    it "ends with 128 and more, as asked, when #{signal} ends it" do
      child = sleeping
      child.signal(signal)

      expect(child.wait).to eq(128 + Signal.list[signal])
      expect(child).to be_ended_as_asked
    end
  end

  it "does not end as asked when it is killed" do
    child = sleeping
    child.signal("KILL")
    child.wait

    expect(child).not_to be_ended_as_asked
  end

  it "does not wait when it is only asked whether it has ended" do
    child = sleeping

    expect([child.ended?, child.status]).to eq([false, nil])
  ensure
    child.signal("KILL")
    child.wait
  end

  it "takes a signal for a child that has ended" do
    child = start { 0 }
    child.wait

    expect { child.signal("TERM") }.not_to raise_error
  end

  it "belongs to a process group of its own, so that Ctrl-C reaches the parent only" do
    reader, writer = IO.pipe
    child = start { writer.write(Process.getpgrp.to_s).positive? ? 0 : 1 }
    child.wait
    writer.close

    expect(reader.read.to_i).to eq(child.pid)
  ensure
    reader.close
  end

  it "gets TERM when the parent is gone" do
    reader, writer = IO.pipe
    parent = fork { orphan(writer) }
    writer.close
    Process.wait(parent)

    expect(reader.wait_readable(10) && reader.read).to eq("TERM")
  ensure
    reader.close
  end

  # A parent that dies by KILL as soon as its child has set its trap.
  def orphan(writer)
    told = IO.pipe
    described_class.start(described_class.lifeline) do
      trap("TERM") { writer.write("TERM") && exit!(0) }
      told.last.write("ready")
      sleep
    end
    told.first.readpartial(8)
    Process.kill("KILL", Process.pid)
  end
end
