# frozen_string_literal: true

require "fileutils"
require "open3"
require "rbconfig"
require "tmpdir"

# An extension with methods that panic is compiled, and loaded into processes of their own.
RSpec.describe "A panic in the native library" do
  include CommandLine

  attr_reader :extension

  around do |example|
    Dir.mktmpdir do |folder|
      FileUtils.mkdir(File.join(folder, "tasker_core"))
      FileUtils.cp(compiled, File.join(folder, "tasker_core", "tasker_core.so"))
      @extension = folder
      example.run
    end
  end

  def compiled
    command = %w[cargo build --quiet --locked --package tasker_core_bridge --features panics --message-format json]
    out, err, status = Open3.capture3({ "SQLX_OFFLINE" => "true" }, *command, chdir: CommandLine::ROOT)
    expect(status).to be_success, err
    files = out.lines.flat_map { |line| JSON.parse(line).fetch("filenames", []) }
    files.find { |file| file.end_with?("libtasker_core.so") } || raise("nothing was compiled: #{out}")
  end

  def run_ruby(program, env: {})
    run_program(RbConfig.ruby, "-I", extension, "-I", File.join(CommandLine::ROOT, "lib"), "-e", program, env: env)
  end

  it "is an exception that can be rescued, and the process goes on", timeout: 300 do
    ran = run_ruby(<<~RUBY)
      require "tasker_core"
      bridge = TaskerCore::Internal::Bridge
      calls = %i[panic_with_gvl panic_without_gvl] * 2
      calls.each do |call|
        bridge.public_send(call)
      rescue TaskerCore::InternalError => e
        puts e.message
      end
      Thread.new { bridge.panic_without_gvl rescue nil }.join
      puts bridge.check_template('{"name": "a", "step_templates": [{"name": "b", "handler_class": "C"}]}').size.positive?
    RUBY
    expect(ran.status).to eq(0), ran.err
    message = ->(how) { "a defect in tasker_core: on purpose, #{how} the lock; please report it" }
    expect(ran.out.lines(chomp: true)).to eq([*[message["with"], message["without"]] * 2, "true"])
    expect(ran.err).to include("panicked at")
  end

  describe "in a part of a worker", :database do
    include Workflows

    # Panics while a handler runs that does not end; prints what the worker says of it. Some parts do something only
    # where a worker has died, or a deadline has passed.
    program = <<~'RUBY'
      require "pg"
      require "tasker_core"
      DEAD = "INSERT INTO tasker_workers (host, pid, concurrency, dead_after_ms, heartbeat_at) " \
             "VALUES ('elsewhere', 1, 1, 1, now() - interval '1 hour')"
      class Hangs < TaskerCore::StepHandler::Base
        def process(task, sequence, step)
          TaskerCore::Internal::Bridge.panic_in(ENV.fetch("PART"))
          TaskerCore.submit("hangs", deadline: 0.1)
          PG.connect(ENV.fetch("DATABASE_URL")).tap { |connection| connection.exec(DEAD) }.close
          sleep
        end
      end
      TaskerCore.define("hangs") { step "hangs", handler: "Hangs" }
      worker = TaskerCore::Worker.new(concurrency: 2, heartbeat_interval: 0.2, dead_after: 1.0).start
      begin
        worker.wait(timeout: 60)
        puts "no exception"
      rescue TaskerCore::InternalError => e
        puts e.message
      end
      puts Thread.list.size
      $stdout.flush
      exit!
    RUBY

    parts = ["orchestrator", "heart", "follower", "pruner", "rescuer", "enforcer of deadlines"]
    # A round with the database is the orchestrator's, and panics as that.
    [*parts, "round"].each do |part|
      it "ends it, which says so, and others go on with its steps: #{part}", timeout: 300 do
        handler("Hangs") { { "by" => "another" } }
        TaskerCore.define("hangs") { step "hangs", handler: "Hangs" }
        id = TaskerCore.submit("hangs")
        ran = run_ruby(program, env: { "DATABASE_URL" => database_url, "PART" => part })
        ended = part == "round" ? "orchestrator" : part
        why = "the worker's #{ended} panicked: on purpose, in the #{part}"
        message = "a defect in tasker_core: #{why}; please report it"
        expect(ran.out.lines(chomp: true)).to eq([message, "1"]), ran.err
        working { TaskerCore.wait(id, timeout: 30) }
        expect(TaskerCore.result(id).results_of("hangs")).to eq("by" => "another")
      end
    end
  end
end
