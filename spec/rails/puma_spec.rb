# frozen_string_literal: true

require "net/http"

RSpec.describe "Puma's plugin", database: :empty, timeout: 180 do
  include RailsApplication

  before do
    skip("needs Puma; bin/setup --tests installs it") if Gem::Specification.find_all_by_name("puma").empty?
    write("config/tasker/holding.rb", 'TaskerCore.define("holding") { step "hold", handler: "Hold" }')
    write("app/handlers/hold.rb", <<~'RUBY')
      # Writes which process executes it, and waits for a file.
      class Hold < TaskerCore::StepHandler::Base
        def process(task, _sequence, _step)
          File.write("#{task.context["file"]}.waits", Process.pid)
          sleep(0.01) until File.exist?(task.context["file"])
          "done"
        end
      end
    RUBY
  end

  # Runs a server while the block runs, then sends it a signal; gives its exit status.
  def serving(config, *words, signal: "TERM", **env)
    write("config/puma.rb", "bind 'tcp://127.0.0.1:0'\nplugin :tasker_core\n#{config}\n")
    words = ["-S", "puma"] if words.empty?
    @server = CommandLine::Running.new([RbConfig.ruby, *words], env: environment(**env), chdir: folder)
    yield
    @server.signal(signal)
    wait_until_ended
  ensure
    @server&.close
  end

  # With Ruby 3.3 a process of Puma 6.6 hangs now and then when it closes its pipes, without the plugin as well: a
  # cluster kills it after 30 s (worker_shutdown_timeout).
  def wait_until_ended
    wait_until("the server ends", within: 60) { @server.status }
  end

  def wait_for(text, times = 1)
    wait_until("the server says #{text.inspect}: #{@server.text}", within: 60) do
      raise "the server ended: #{@server.text}" if @server.status

      @server.text.scan(text).size >= times
    end
  end

  # The processes whose workers have said that they are ready.
  def ready
    @server.text.scan(/\[(\d+)\] \* tasker_core: worker \d+ is ready/).flatten.map(&:to_i)
  end

  def get(path = "/tasker/health")
    port = @server.text[%r{Listening on http://127\.0\.0\.1:(\d+)}, 1]
    Net::HTTP.get_response("127.0.0.1", path, port.to_i).code
  end

  def submit_holding(*names)
    contexts = names.map { |name| { file: File.join(folder, name) } }
    ids = in_rails("TaskerCore.submit_all('holding', contexts: #{JSON.generate(contexts)})")
    files = names.map { |name| File.join(folder, "#{name}.waits") }
    wait_until("#{names.join(" and ")} run", within: 30) { files.all? { |file| File.size?(file) } }
    ids
  end

  def pids_of(*names)
    names.map { |name| read("#{name}.waits").to_i }
  end

  def release(*names)
    names.each { |name| write(name, "") }
  end

  # The state of each task and how often it was tried, after its end.
  def ends_of(*task_ids)
    wait_until("they end", within: 30) { states(task_ids).all?("complete") }
    task_ids.map do |id|
      sql("SELECT outcome FROM tasker_attempt_overview WHERE task_id = #{id}").map { |row| row["outcome"] }
    end
  end

  def states(task_ids)
    sql("SELECT state FROM tasker_task_overview WHERE task_id IN (#{task_ids.join(", ")})").map { |row| row["state"] }
  end

  it "executes steps beside the requests of one process, and lets those that run finish before it ends" do
    rails("db:migrate")
    ids = nil
    status = serving("threads 1, 2\ntasker_worker concurrency: 1") do
      wait_for("is ready")
      ids = submit_holding("one")
      expect([get, pids_of("one")]).to eq(["200", [@server.pid]])
      expect(in_rails("TaskerCore.client.workers.map { |worker| worker['concurrency'] }")).to eq([1])
      @server.signal("TERM")
      wait_for("stopping the worker")
      release("one")
    end
    expect([status, ends_of(*ids)]).to eq([128 + Signal.list["TERM"], [["succeeded"]]])
    expect(@server.text).to match(/\* tasker_core: worker \d+ stopped: 1 finished, 0 given back, 0 interrupted/)
  end

  it "executes them in each process of a cluster that has loaded the application before, and in no other" do
    rails("db:migrate")
    ids = nil
    config = "workers 2\npreload_app!\nraise_exception_on_sigterm false\ntasker_worker concurrency: 1\n"
    serving("#{config}activate_control_app 'tcp://127.0.0.1:0', no_token: true") do
      wait_for("is ready", 2)
      ids = submit_holding("one", "two")
      expect([get, pids_of("one", "two").sort]).to eq(["200", ready.sort])
      expect(ready).not_to include(@server.pid)
      @server.signal("TERM")
      wait_for("stopping the worker", 2)
      release("one", "two")
      expect(wait_until_ended).to eq(0)
    end
    expect([ends_of(*ids), ready.map { |pid| alive?(pid) }]).to eq([[["succeeded"]] * 2, [false, false]])
  end

  it "goes along with a phased restart: every process ends with what it executes, and none is without an answer" do
    rails("db:migrate")
    ids = nil
    serving("workers 2\ntasker_worker concurrency: 1") do
      wait_for("is ready", 2)
      ids = submit_holding("one", "two")
      write("app/handlers/hold.rb", read("app/handlers/hold.rb").sub('"done"', '"done by new code"'))
      answers = asking do
        @server.signal("USR1")
        wait_for("stopping the worker")
        release("one", "two")
        wait_for("is ready", 4)
      end
      expect([ends_of(*ids), ids.map { |id| result(id) }]).to eq([[["succeeded"]] * 2, ["done"] * 2])
      expect(answers.tally.keys).to eq(["200"])
      expect((pids_of("one", "two") & ready.last(2)).size).to eq(0)
      release("three")
      three = submit_holding("three")
      expect([ends_of(*three), result(three.first)]).to eq([[["succeeded"]], "done by new code"])
      expect(ready.last(2)).to include(*pids_of("three"))
    end
  end

  # The answers that the server gave while the block ran.
  def asking
    answers = []
    asked = Thread.new do
      answers << get until Thread.current[:enough]
    rescue StandardError => e
      answers << e.class
    end
    yield
    asked[:enough] = true
    asked.join
    answers
  end

  def result(task_id)
    in_rails("TaskerCore.result(#{task_id}).results_of('hold')")
  end

  it "goes along where the first process forks the others anew (fork_worker), once what it executes has ended" do
    rails("db:migrate")
    serving("workers 2\nfork_worker\ntasker_worker concurrency: 1") do
      wait_for("is ready", 2)
      first = @server.text[/Worker 0 \(PID: (\d+)\) booted/, 1].to_i
      ids = submit_holding("one", "two")
      own, other = %w[one two].partition { |name| pids_of(name) == [first] }
      @server.signal("URG")
      wait_for("stopping the worker")
      release(*other)
      wait_for("stopping the worker", 2)
      release(*own)
      wait_for("is ready", 4)
      ids += submit_holding("three", "four")
      expect(pids_of("one", "two") & pids_of("three", "four")).to eq([first])
      expect(pids_of("three", "four").sort).to eq(ready.last(2).sort)
      release("three", "four")
      expect([get, ends_of(*ids)]).to eq(["200", [["succeeded"]] * 4])
    end
    expect(@server.text.scan(/worker \d+ stopped/).size).to eq(4)
  end

  it "starts another worker when the server is started anew by USR2" do
    rails("db:migrate")
    serving("") do
      wait_for("is ready")
      ids = submit_holding("one")
      @server.signal("USR2")
      wait_for("stopping the worker")
      release("one")
      wait_for("is ready", 2)
      expect([get, ends_of(*ids)]).to eq(["200", [["succeeded"]]])
    end
  end

  it "works in the server of Rails in development, with code that was changed, and ends by Ctrl-C" do
    rails("db:migrate")
    status = serving("", "bin/rails", "server", signal: "INT", RAILS_ENV: "development") do
      wait_for("is ready")
      release("one")
      first = submit_holding("one")
      expect([get, ends_of(*first), pids_of("one")]).to eq(["200", [["succeeded"]], [@server.pid]])
      write("app/handlers/hold.rb", read("app/handlers/hold.rb").sub('"done"', '"done by new code"'))
      release("two")
      second = submit_holding("two")
      expect([ends_of(*second), result(second.first)]).to eq([[["succeeded"]], "done by new code"])
    end
    expect(status).to eq(0)
  end

  it "lets Puma serve without the tables or a database, says what is missing, and works as soon as it is there" do
    serving("") do
      wait_for(/no worker in this process, the next try is in 1 s: .*tasker migrate/)
      expect(get).to eq("503")
      rails("db:migrate")
      wait_for("is ready")
      expect(get).to eq("200")
    end
    serving("", DATABASE_URL: "postgres://nobody@localhost:1/none") do
      wait_for(/no worker in this process, the next try is in 2 s: .*\(TaskerCore::DatabaseUnavailable\)/)
      expect(get).to eq("503")
    end
  end

  it "works in an application without templates, which may have jobs" do
    rails("db:migrate")
    FileUtils.rm_r(File.join(folder, "config/tasker"))
    serving("") { wait_for("is ready") }
  end

  it "refuses options that a worker does not have" do
    serving("tasker_worker concurency: 2") { wait_until_ended }

    expect(@server.text).to match(/a worker has no option :concurency.*did you mean :?"?concurrency/)
  end
end
