# frozen_string_literal: true

require "io/wait"
require "socket"
require "tmpdir"

# What `tasker work` does with its processes beside executing steps.
RSpec.describe "tasker work", :database do
  include CommandLine

  around do |example|
    Dir.mktmpdir do |folder|
      @folder = folder
      write_workflows
      example.run
    end
  end

  let(:env) { { "DATABASE_URL" => database_url, "RUBYLIB" => "#{CommandLine::ROOT}/lib" } }

  def file(name = "workflows.rb")
    File.join(@folder, name)
  end

  # Those of the fixtures, and one whose step keeps as many bytes as the context says.
  def write_workflows
    File.write(file, <<~RUBY)
      #{File.read(File.expand_path("../fixtures/workflows.rb", __dir__))}
      class Leak < TaskerCore::StepHandler::Base
        def process(task, _sequence, _step)
          ($kept ||= []) << ("x" * task.context["bytes"])
          nil
        end
      end
      TaskerCore.define("leak") { step "keeps", handler: Leak }
    RUBY
  end

  # Runs a worker, or several, until the block has ended; gives the exit status after TERM.
  def working(*options, env: self.env)
    tasker_running("work", "-r", file, *options, env: env) do |program|
      wait_until("it is ready", within: 30) { program.text.include?("is ready") || program.status }
      yield program
      program.signal("TERM")
      wait_until("it ends", within: 30) { program.status }
    end
  end

  def submit(name, context = {})
    tasker("submit", name, "--context", JSON.generate(context), "-r", file, "--json").json.fetch("task_id")
  end

  def submit_holding(name)
    submit("hold", file: file(name)).tap { wait_until("the step runs") { File.size?(file("#{name}.waits")) } }
  end

  def release(name)
    File.write(file(name), "")
  end

  def pid_of(name)
    File.read(file("#{name}.waits")).to_i
  end

  # How the attempts of a task's steps ended, after it has.
  def outcomes(task_id)
    wait_until("task #{task_id} ends", within: 30) { state(task_id) == "complete" }
    sql("SELECT outcome FROM tasker_attempt_overview WHERE task_id = #{task_id}").map { |row| row.fetch("outcome") }
  end

  def state(task_id)
    sql("SELECT state FROM tasker_task_overview WHERE task_id = #{task_id}").first.fetch("state")
  end

  def ready(program)
    program.text.scan(/\(pid (\d+)\) is ready/).flatten.map(&:to_i)
  end

  it "replaces its processes by USR1, with code that was changed, and nothing that runs is cut off" do
    status = working("-p", "2", "-c", "1") do |supervisor|
      tasks = %w[one two].map { |name| submit_holding(name) }
      File.write(file, File.read(file).sub('"got" => task.context', '"got" => "new code"'))
      supervisor.signal("USR1")
      wait_until("the first successor is ready", within: 30) { ready(supervisor).size == 3 }
      %w[one two].each { |name| release(name) }
      wait_until("both are", within: 30) { ready(supervisor).size == 4 }

      expect(tasks.map { |id| outcomes(id) }).to eq([["succeeded"]] * 2)
      wait_until("those of before end") { ready(supervisor).first(2).none? { |pid| alive?(pid) } }
      echo = submit("echo")
      expect(outcomes(echo)).to eq(["succeeded"] * 2)
      expect(tasker("result", echo.to_s, "first").out).to include("new code")
      expect(supervisor.text.scan(/worker process \d \(pid \d+\) is replaced: USR1 asks for it/).size).to eq(2)
    end
    expect(status).to eq(0)
  end

  it "goes on with its processes where code that was changed cannot be loaded" do
    working("-p", "1") do |supervisor|
      File.write(file, "raise 'a typing error'")
      supervisor.signal("USR1")
      wait_until("it is told", within: 30) { supervisor.text.match?(/stays: its successor ended with 2 before/) }
      expect(supervisor.text).to include("RuntimeError: a typing error (line 1)")
      write_workflows
      expect(outcomes(submit("echo"))).to eq(["succeeded"] * 2)
    end
  end

  it "replaces a process that has more memory than its limit, and what it executes ends well" do
    status = working("--memory-limit", "200", "-c", "2") do |supervisor|
      held = submit_holding("one")
      submit("leak", bytes: 250_000_000)
      wait_until("its successor is ready", within: 30) { ready(supervisor).size == 2 }
      expect(pid_of("one")).to eq(ready(supervisor).first)
      release("one")
      expect(outcomes(held)).to eq(["succeeded"])
      wait_until("it ends") { !alive?(pid_of("one")) }
      reason = "it has \\d+ MB, --memory-limit is 200"
      expect(supervisor.text).to match(/process 0 \(pid #{pid_of("one")}\) is replaced: #{reason}$/)
    end
    expect(status).to eq(0)
  end

  it "says who replaces processes where it is not the one to do it" do
    working do |worker|
      worker.signal("USR1")
      wait_until("it is told") { worker.text.include?("USR1 is for the supervisor, which -p starts") }
    end
    working("-p", "1") do |supervisor|
      Process.kill("USR1", ready(supervisor).first)
      wait_until("it is told") { supervisor.text.include?("USR1 is for the supervisor, pid #{supervisor.pid}:") }
    end
  end

  describe "below a service manager" do
    around do |example|
      @messages = Socket.new(:UNIX, :DGRAM)
      @messages.bind(Socket.sockaddr_un(file("notify")))
      example.run
    ensure
      @messages.close
    end

    def message
      raise "nothing is told" unless @messages.wait_readable(30)

      @messages.recv(1_000)
    end

    { "one process" => [[], "READY=1\nSTATUS=5 threads, queues: all"],
      "a supervisor" => [["-p", "2"], "READY=1\nSTATUS=2 of 2 processes are ready"] }.each do |name, (options, words)|
      it "tells it that it is ready, lives and stops, as #{name}" do
        watched = { "NOTIFY_SOCKET" => file("notify"), "WATCHDOG_USEC" => "200000" }
        status = working(*options, env: env.merge(watched)) do
          told = [message]
          told << message until told.include?(words) && told.include?("WATCHDOG=1")
        end
        expect(status).to eq(0)
        rest = Array.new(200) { @messages.recv_nonblock(1_000, exception: false) }
        expect(rest).to include("STOPPING=1\nSTATUS=stopping")
      end
    end
  end

  { "a limit of nothing" => ["0"], "a negative one" => ["-5"], "a word" => ["much"], "half a MB" => ["0.5"] }
    .each do |name, (limit)|
    it "refuses #{name} for the memory" do
      outcome = tasker("work", "-r", file, "--memory-limit", limit)

      message = "--memory-limit must be a whole number of MB from 1 to 1048576, got #{limit.inspect}"
      expect([outcome.status, outcome.out, outcome.err.lines.first]).to eq([2, "", "tasker: #{message}\n"])
    end
  end

  it "refuses a limit that it is above from the start" do
    outcome = tasker("work", "-r", file, "--memory-limit", "5")

    message = "--memory-limit is 5 MB, but with its code loaded a process has \\d+ MB already; give it more"
    expect([outcome.status, outcome.err]).to match([2, /\Atasker: #{message}$/])
  end
end
