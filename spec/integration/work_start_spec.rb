# frozen_string_literal: true

# TERM at moments of a start, with real processes; TERM_MOMENTS=60 has it come at sixty.
RSpec.describe "tasker work that is told to end while it starts", :database do
  include CommandLine

  # Seconds in which processes have started, where the machine has the time for it.
  longest = 3.0
  count = Integer(ENV.fetch("TERM_MOMENTS", 5))
  moments = Array.new(count) { |number| longest * number / count }
  # A start, its end and, of a start anew, another start.
  patience = 120 + (count * 20)

  around do |example|
    Dir.mktmpdir do |folder|
      @folder = folder
      workflows = File.read(File.expand_path("../fixtures/workflows.rb", __dir__))
      File.write(file, "#{workflows}puts \"its code is loaded\"\n")
      example.run
    end
  end

  def file
    File.join(@folder, "workflows.rb")
  end

  # The program, ended by a TERM that comes so many seconds after what the block waits for.
  def ended(seconds, *options)
    tasker_running("work", "-r", file, "-c", "2", *options) do |program|
      yield program if block_given?
      sleep(seconds) # Whatever it does by then is what TERM meets.
      program.signal("TERM")
      wait_until("it ends", within: 60) { program.status }
      program.text
      program
    end
  end

  def submit
    tasker("submit", "echo", "-r", file)
  end

  def running_workers
    sql("SELECT count(*) FROM tasker_workers WHERE state = 'running'").first.fetch("count").to_i
  end

  # How the attempts of all tasks ended, once a worker has had the time to end them.
  def outcomes
    open = "SELECT count(*) FROM tasker_task_overview WHERE state <> 'complete'"
    tasker_running("work", "-r", file) do
      wait_until("all are complete", within: 60) { sql(open).first.fetch("count").to_i.zero? }
    end
    sql("SELECT outcome FROM tasker_attempt_overview").map { |row| row.fetch("outcome") }.tally
  end

  # Until the command has begun, Ruby decides: TERM ends it, with 1 by Ruby 3.3 before the program's first line.
  def allowed(program)
    program.text.include?("its code is loaded") ? [0] : [0, 1, 128 + Signal.list["TERM"]]
  end

  { "one process" => [], "a supervisor" => ["-p", "2"] }.each do |name, options|
    it "ends with 0 as #{name}, and loses no attempt", timeout: patience do
      ends = moments.map do |seconds|
        submit
        program = ended(seconds, *options)
        [seconds, program.status, running_workers, (program.text unless allowed(program).include?(program.status))]
      end

      expect(ends).to all(match([anything, anything, 0, nil]))
      expect(outcomes).to eq("succeeded" => 2 * count)
    end
  end

  it "ends with 0 while its processes are replaced, and loses no attempt", timeout: patience do
    ends = moments.map do |seconds|
      submit
      program = ended(seconds / 2, "-p", "2") do |supervisor|
        wait_until("both are ready", within: 30) { supervisor.text.scan("is ready").size == 2 }
        supervisor.signal("USR1")
      end
      [seconds / 2, program.status, running_workers, (program.text unless program.status.zero?)]
    end

    expect(ends).to all(match([anything, 0, 0, nil]))
    expect(outcomes).to eq("succeeded" => 2 * count)
  end

  # A stream that is written to, and that is told of in a trap, has a lock, which the thread that writes holds.
  it "ends with 0 while it says that it is ready, and takes it for the first TERM" do
    File.write(file, <<~RUBY, mode: "a")
      lock = Mutex.new
      $stdout.define_singleton_method(:puts) do |text|
        lock.synchronize do
          super(text)
          Process.kill("TERM", Process.pid) if text.include?("is ready")
        end
      end
    RUBY
    tasker_running("work", "-r", file) do |program|
      expect(wait_until("it ends", within: 30) { program.status }).to eq(0)
      expect(program.text).to match(/stopping: what runs.*worker stopped: 0 attempts finished/m)
    end
  end

  it "ends with 0 while its code is loaded" do
    File.write(file, "puts \"its code is loaded\"\nsleep\n")
    %w[TERM QUIT].each do |signal|
      tasker_running("work", "-r", file) do |program|
        wait_until("it loads", within: 30) { program.text.include?("its code is loaded") }
        program.signal(signal)
        expect(wait_until("it ends") { program.status }).to eq(0)
      end
    end
  end
end
