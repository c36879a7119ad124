# frozen_string_literal: true

require "fiddle"
require "io/wait"
require "socket"
require "tasker_core/internal/supervisor"

# A program that executes what a file holds, in its folder, as a child that is ready at once and ends by TERM.
CodeOfFile = Struct.new(:folder) do
  def start(variables, **options)
    code = 'TaskerCore::Internal::ChildProcess.in_program { |ready| load("./code.rb"); ready.call; sleep }'
    library = File.expand_path("../../../lib", __dir__)
    Process.spawn(variables, RbConfig.ruby, "-I", library, "-r", "tasker_core/internal/child_process", "-e", code,
                  chdir: folder, **options)
  end
end

RSpec.describe TaskerCore::Internal::Supervisor do
  around { |example| Dir.mktmpdir { |folder| (@folder = folder) && example.run } }

  # Starts a supervisor in a process of its own, whose status is its result.
  def supervise(processes: 2, env: {}, **options, &body)
    @pid = fork do
      ENV.update(env)
      logger = Logger.new(File.join(@folder, "log"))
      exit!(described_class.new(processes: processes, logger: logger, **options, &body).run)
    end
  end

  def finish
    Process.wait2(@pid).last.exitstatus.tap { @pid = nil }
  end

  # One that an example has left; its children end with it.
  after { Process.kill("KILL", @pid) && Process.wait(@pid) if @pid }

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

  def log
    File.read(File.join(@folder, "log"))
  end

  # A worker that says when it begins, is ready and is told to end, and by whom: its number and its generation, the
  # place in the order of those that began with this number.
  def generation(number, ready)
    note("began #{number}")
    name = "#{number}.#{notes.count("began #{number}")}"
    signals = Thread::Queue.new
    trap("TERM") { signals << "TERM" }
    yield name if block_given?
    note("ready #{name}")
    ready.call
    signals.pop
    note("TERM #{name}")
    0
  end

  # What was noted, without the beginnings.
  def steps
    notes.grep_v(/\Abegan/)
  end

  def wait_for_step(text)
    wait_until("#{text} is noted") { steps.include?(text) }
  end

  def stop
    Process.kill("TERM", @pid)
    finish
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
    expect(second - first).to be > 0.5
    expect(third - second).to be > 0.95
  end

  it "ends with the status of a child that cannot work at all, and ends the others" do
    supervise do |number|
      number.zero? ? until_signal(number, &:pop) : wait_for_notes(1) && 2
    end

    expect([finish, notes]).to eq([2, ["ready 0", "TERM 0"]])
  end

  it "ends with the status of a child that fails while it stops" do
    supervise do |number, ready|
      ready.call
      until_signal(number, &:pop)
      number.zero? ? 0 : 3
    end
    wait_for_notes(2)
    Process.kill("TERM", @pid)

    expect(finish).to eq(3)
  end

  it "ends with 0 when a child was not ready that it told to end, whatever its status" do
    supervise do |number, ready|
      ready.call if number.zero?
      until_signal(number, &:pop)
      number
    end
    wait_for_notes(2)
    Process.kill("TERM", @pid)

    expect([finish, log]).to match([0, /ended: 1$/])
  end

  it "ends with 0 when children end by the signal itself" do
    supervise { |number| note("ready #{number}") && sleep }
    wait_for_notes(2)
    Process.kill("TERM", @pid)

    expect(finish).to eq(0)
  end

  describe "that replaces children" do
    it "does so one after the other by USR1, each when its successor is ready" do
      supervise { |number, ready| generation(number, ready) }
      wait_until("both are ready") { steps.size == 2 }
      Process.kill("USR1", @pid)
      wait_for_step("TERM 1.1")
      first, second = %w[0 1].map { |number| steps.drop(2).grep(/ #{number}\./) }

      expect([first, second]).to eq([["ready 0.2", "TERM 0.1"], ["ready 1.2", "TERM 1.1"]])
      expect(notes.rindex("began 1")).to be > notes.index("TERM 0.1")
      expect(log.scan(/process (\d) \(pid \d+\) is replaced: USR1 asks for it/)).to eq([["0"], ["1"]])
      expect([stop, steps.last(2)]).to match([0, contain_exactly("TERM 0.2", "TERM 1.2")])
    end

    it "tells none to end whose successor is not ready, whatever happens meanwhile" do
      supervise do |number, ready|
        generation(number, ready) do |name|
          note("pid #{Process.pid}") if name == "1.1"
          wait_until("it may go on") { File.exist?(File.join(@folder, "go")) } if name == "0.2"
        end
      end
      wait_until("both are ready") { notes.grep(/ready/).size == 2 }
      Process.kill("USR1", @pid)
      wait_until("the successor has begun") { notes.count("began 0") == 2 }
      Process.kill("KILL", notes.grep(/pid/).first[/\d+/].to_i)
      wait_until("its end is seen") { log.include?("ended: 137") }
      File.write(File.join(@folder, "go"), "")
      wait_for_step("TERM 0.1")

      expect(notes.index("ready 0.2")).to be < notes.index("TERM 0.1")
      expect(stop).to eq(0)
    end

    it "keeps the one of before where its successor ends before it is ready" do
      supervise(processes: 1) { |number, ready| generation(number, ready) { |name| exit!(7) if name == "0.2" } }
      wait_for_step("ready 0.1")
      Process.kill("USR1", @pid)
      wait_until("it is told") { log.include?("stays: its successor ended with 7 before it was ready") }
      Process.kill("USR1", @pid)
      wait_for_step("TERM 0.1")

      expect([steps, stop]).to eq([["ready 0.1", "ready 0.3", "TERM 0.1"], 0])
    end

    it "keeps the one of before where its successor cannot be started" do
      program = Struct.new(:folder) { def start(*, **) = raise(Errno::ENOENT, folder) }.new("/no/such/folder")
      supervise(processes: 1, program: program) { |number, ready| generation(number, ready) }
      wait_for_step("ready 0.1")
      Process.kill("USR1", @pid)
      wait_until("it is told") { log.include?("worker process 0 cannot be started: No such file") }

      expect([stop, steps]).to eq([0, ["ready 0.1", "TERM 0.1"]])
    end

    it "does so for a reason that a look finds" do
      stub_const("#{described_class}::LOOK_SECONDS", 0.05)
      look = ->(pid) { "it is the first" if pid == File.read(File.join(@folder, "first")).to_i }
      supervise(processes: 1, look: look) do |number, ready|
        generation(number, ready) { |name| File.write(File.join(@folder, "first"), Process.pid) if name == "0.1" }
      end
      wait_for_step("TERM 0.1")

      expect([steps, stop]).to eq([["ready 0.1", "ready 0.2", "TERM 0.1"], 0])
      expect(log.scan("is replaced: it is the first").size).to eq(1)
    end

    it "kills one that does not end in its time, and goes on" do
      supervise(leave_seconds: 0.1) do |number, ready|
        generation(number, ready) { |name| trap("TERM", "IGNORE") if name == "0.1" }
      end
      wait_until("both are ready") { steps.size == 2 }
      Process.kill("USR1", @pid)
      wait_for_step("TERM 1.1")

      expect(log).to match(/process 0 \(pid \d+\) is killed: its time is over$.*process 0 \(pid \d+\) ended: 137$/m)
      expect(stop).to eq(0)
    end

    it "gives the place to the successor where the one of before dies meanwhile" do
      supervise(processes: 1) do |number, ready|
        generation(number, ready) do |name|
          note("pid #{Process.pid}")
          wait_until("it may go on") { name == "0.1" || File.exist?(File.join(@folder, "go")) }
        end
      end
      wait_for_step("ready 0.1")
      Process.kill("USR1", @pid)
      wait_until("the successor has begun") { notes.grep(/pid/).size == 2 }
      Process.kill("KILL", notes.grep(/pid/).first[/\d+/].to_i)
      wait_until("its end is seen") { log.include?("ended: 137") }
      File.write(File.join(@folder, "go"), "")
      wait_for_step("ready 0.2")

      expect([stop, notes.count("began 0"), steps.last]).to eq([0, 2, "TERM 0.2"])
    end

    it "ends all of them when it is told to stop meanwhile, the successor first" do
      supervise(processes: 1) do |number, ready|
        generation(number, ready) do |name|
          name == "0.2" ? trap("TERM", "DEFAULT") : at_exit { wait_until("the other has ended") { !alive?(1) } }
          note("pid #{Process.pid}")
          sleep if name == "0.2"
        end
      end
      wait_for_step("ready 0.1")
      Process.kill("USR1", @pid)
      wait_until("the successor has begun") { notes.grep(/pid/).size == 2 }

      expect([stop, alive?(0), alive?(1)]).to eq([0, false, false])
    end

    # Whether the process exists that was the first, or the second, to note its pid.
    def alive?(number)
      Process.kill(0, notes.grep(/pid/)[number][/\d+/].to_i)
    rescue Errno::ESRCH
      false
    end

    it "starts its program again by USR1, so that code is loaded anew" do
      supervise(processes: 1, program: CodeOfFile.new(@folder)) { |number, ready| generation(number, ready) }
      wait_for_step("ready 0.1")
      File.write(File.join(@folder, "code.rb"), 'File.write("notes", "ready 0.new\n", mode: "a")')
      Process.kill("USR1", @pid)
      wait_for_step("TERM 0.1")

      expect([steps, stop]).to eq([["ready 0.1", "ready 0.new", "TERM 0.1"], 0])
    end
  end

  describe "below a service manager" do
    around do |example|
      @messages = Socket.new(:UNIX, :DGRAM)
      @messages.bind(Socket.sockaddr_un(File.join(@folder, "notify")))
      example.run
    ensure
      @messages.close
    end

    let(:env) { { "NOTIFY_SOCKET" => File.join(@folder, "notify") } }

    def message
      raise "nothing is told" unless @messages.wait_readable(10)

      @messages.recv(1_000)
    end

    # The first message that begins with the text.
    def told_until(text)
      Enumerator.produce { message }.find { |one| one.start_with?(text) }
    end

    it "tells it when the children are ready, what it does, and that it stops" do
      supervise(env: env) { |number, ready| generation(number, ready) }
      expect(told_until("READY=1")).to eq("READY=1\nSTATUS=2 of 2 processes are ready")
      Process.kill("USR1", @pid)
      expect(message).to eq("STATUS=2 of 2 processes are ready; process 0 is replaced: USR1 asks for it")
      wait_for_step("TERM 1.1")
      expect(stop).to eq(0)
      rest = Array.new(3) { @messages.recv_nonblock(1_000, exception: false) }
      expect(rest).to include("STOPPING=1\nSTATUS=stopping")
    end

    it "tells it again and again that it lives where that is asked for" do
      supervise(processes: 1, env: env.merge("WATCHDOG_USEC" => "100000")) do |number, ready|
        generation(number, ready)
      end
      told_until("READY=1")
      expect(Array.new(3) { message }).to all(eq("WATCHDOG=1"))
      expect(stop).to eq(0)
    end
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
      supervise(hang_timeout: 2) do |number, ready|
        ready.call
        keep_lock if number.zero? && notes.none?(/keeps/)
        until_signal(number, &:pop)
      end
      wait_for_notes(3)
      Process.kill("TERM", @pid)

      expect(finish).to eq(0)
      expect(notes).to contain_exactly(/keeps/, "ready 0", "ready 1", "TERM 0", "TERM 1")
    end

    it "does so with one that was started again as a program, and not before it is ready" do
      supervise(processes: 1, hang_timeout: 1, program: CodeOfFile.new(@folder)) do |number, ready|
        generation(number, ready)
      end
      wait_for_step("ready 0.1")
      File.write(File.join(@folder, "code.rb"), <<~'RUBY')
        File.write("notes", "began #{Process.pid}\n", mode: "a")
        sleep(2) # as code that takes its time to load
        require "fiddle"
        native = Fiddle::Function.new(Fiddle::Handle::DEFAULT["sleep"], [Fiddle::TYPE_INT], Fiddle::TYPE_INT,
                                      need_gvl: true)
        Thread.new { sleep(0.2) && native.call(600) } unless File.exist?("kept")
        File.write("kept", "")
      RUBY
      Process.kill("USR1", @pid)
      wait_for_step("TERM 0.1")
      wait_until("it is killed") { log.include?("ended: 137") }
      wait_until("another one has begun") { notes.grep(/began \d\d/).size == 2 }

      expect(log[/process (\d+) has run no Ruby/, 1]).to eq(notes.grep(/began \d\d/).first[/\d+/])
      expect(stop).to eq(0)
    end

    it "does not wait for it when all are to end" do
      supervise(processes: 1, hang_timeout: 1) { |_, ready| ready.call && keep_lock }
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
