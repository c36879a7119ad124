# frozen_string_literal: true

require "fiddle"
require "tasker_core/internal/supervisor"

RSpec.describe TaskerCore::Internal::Supervisor do
  around { |example| Dir.mktmpdir { |folder| (@folder = folder) && example.run } }

  # Starts a supervisor in a process of its own, whose status is its result.
  def supervise(processes: 2, **options, &body)
    @pid = fork do
      exit!(described_class.new(processes: processes, logger: Logger.new(File::NULL), **options, &body).run)
    end
  end

  def finish
    Process.wait2(@pid).last.exitstatus
  end

  def note(text)
    File.write(File.join(@folder, "notes"), "#{text}\n", mode: "a")
  end

  def notes
    File.exist?(File.join(@folder, "notes")) ? File.readlines(File.join(@folder, "notes"), chomp: true) : []
  end

  # What a worker does: waits for a signal, notes it, and ends.
  def until_signal(number)
    signals = Thread::Queue.new
    %w[TERM QUIT INT].each { |signal| trap(signal) { signals << signal } }
    note("ready #{number}")
    signal = yield signals
    note("#{signal} #{number}")
    0
  end

  def wait_for_notes(count)
    wait_until("#{count} notes") { notes.size >= count }
  end

  %w[TERM INT].each do |signal|
    it "passes #{signal} on as TERM and ends with 0 when the children have" do
      supervise { |number| until_signal(number, &:pop) }
      wait_for_notes(2)
      Process.kill(signal, @pid)

      expect(finish).to eq(0)
      expect(notes.last(2)).to contain_exactly("TERM 0", "TERM 1")
    end
  end

  it "passes QUIT on at once" do
    supervise { |number| until_signal(number, &:pop) }
    wait_for_notes(2)
    Process.kill("QUIT", @pid)

    expect([finish, notes.last(2)]).to match([0, contain_exactly("QUIT 0", "QUIT 1")])
  end

  it "passes a second TERM on as QUIT" do
    supervise(processes: 1) do |number|
      until_signal(number) do |signals|
        note("first #{signals.pop}")
        signals.pop
      end
    end
    wait_for_notes(1)
    Process.kill("TERM", @pid)
    wait_for_notes(2)
    Process.kill("TERM", @pid)

    expect([finish, notes]).to eq([0, ["ready 0", "first TERM", "QUIT 0"]])
  end

  it "replaces a child that was killed" do
    supervise(processes: 1) { |number| note(Process.pid) && until_signal(number, &:pop) }
    wait_for_notes(2)
    Process.kill("KILL", notes.first.to_i)
    wait_for_notes(4)
    Process.kill("TERM", @pid)

    expect([finish, notes[1], notes[3]]).to eq([0, "ready 0", "ready 0"])
    expect(notes[2]).not_to eq(notes[0])
  end

  it "replaces a child that ends by itself, after a pause that grows" do
    supervise(processes: 1) { note(Process.clock_gettime(Process::CLOCK_MONOTONIC)) && 0 }
    wait_for_notes(3)
    Process.kill("TERM", @pid)
    first, second, third = notes.map(&:to_f)

    expect(finish).to eq(0)
    expect(second - first).to be_between(0.5, 0.95)
    expect(third - second).to be > 0.95
  end

  it "ends with the status of a child that cannot work at all, and ends the others" do
    supervise do |number|
      number.zero? ? until_signal(number, &:pop) : wait_for_notes(1) && 2
    end

    expect([finish, notes]).to eq([2, ["ready 0", "TERM 0"]])
  end

  it "ends with the status of a child that fails while it stops" do
    supervise do |number|
      until_signal(number, &:pop)
      number.zero? ? 0 : 3
    end
    wait_for_notes(2)
    Process.kill("TERM", @pid)

    expect(finish).to eq(3)
  end

  it "ends with 0 when children end by the signal itself" do
    supervise { |number| note("ready #{number}") && sleep }
    wait_for_notes(2)
    Process.kill("TERM", @pid)

    expect(finish).to eq(0)
  end

  describe "of a child that keeps Ruby's lock" do
    # Keeps the lock, as a native function does that neither gives it up nor is ended by signals.
    def keep_lock
      trap("TERM", "IGNORE")
      note("keeps #{Process.pid}")
      Fiddle::Function.new(Fiddle::Handle::DEFAULT["sleep"], [Fiddle::TYPE_INT], Fiddle::TYPE_INT, need_gvl: true)
                      .call(600)
    end

    it "kills and replaces it, and leaves the others alone" do
      supervise(hang_timeout: 2) do |number|
        keep_lock if number.zero? && notes.none?(/keeps/)
        until_signal(number, &:pop)
      end
      wait_for_notes(3)
      Process.kill("TERM", @pid)

      expect(finish).to eq(0)
      expect(notes).to contain_exactly(/keeps/, "ready 0", "ready 1", "TERM 0", "TERM 1")
    end

    it "does not wait for it when all are to end" do
      supervise(processes: 1, hang_timeout: 1) { keep_lock }
      wait_for_notes(1)
      Process.kill("TERM", @pid)

      expect(finish).to eq(128 + Signal.list["KILL"])
    end
  end

  it "gives the traps back that were there before" do
    before = trap("TERM", "SIG_IGN")
    described_class.new(processes: 1, logger: Logger.new(File::NULL)) { 2 }.run

    expect(trap("TERM", before)).to eq("IGNORE").or eq("SIG_IGN")
  end
end
