# frozen_string_literal: true

require "json"
require "timeout"

RSpec.describe "The native extension", :database, doctor: false do
  bridge = TaskerCore::Internal::Bridge

  # Long enough for every call that does not wait as it was told to.
  patience_seconds = 0.2

  def client
    TaskerCore::Internal::Bridge::Client.connect(JSON.generate("url" => database_url))
  end

  def worker
    TaskerCore::Internal::Bridge::Worker.start(JSON.generate("url" => database_url))
  end

  # What a call may end with: an answer, or an exception of Ruby or of the library that is no defect.
  define_method :check do |receiver, name, arguments|
    Timeout.timeout(patience_seconds) { receiver.public_send(name, *arguments) }
  rescue Timeout::Error
    nil
  rescue StandardError => e
    never = receiver.is_a?(Module) ? /defect in tasker_core|s3cret/ : /defect in tasker_core/
    expect(e.message.scrub).not_to match(never), "#{name}: #{e.message.scrub[0, 300]}"
    expect(e.message.bytesize).to be < 3_000
    nil
  end

  def check_all(receiver, signatures)
    signatures.each do |signature|
      signature.wrong(NativeMethods.wrong_values).each do |arguments|
        close_if_opened(check(receiver, signature.name, arguments))
      end
      client.then { |other| other.migrate(nil) && other.close } if signature.name == :migrate
    end
  end

  def close_if_opened(result)
    case result
    when TaskerCore::Internal::Bridge::Client then result.close
    when TaskerCore::Internal::Bridge::Worker then result.stop(0)
    end
  end

  # From the classes themselves: names as "Bridge.check_json" or "Client#status" => how many arguments there are.
  types = [bridge, *bridge.constants.map { |name| bridge.const_get(name) }.grep(Class)]
  name_of = ->(type) { type.name[/\w+\z/] }
  functions = types.flat_map do |type|
    type.singleton_methods(false).map { |name| ["#{name_of[type]}.#{name}", type.method(name).arity] }
  end.to_h
  of_objects = types.grep(Class).flat_map do |type|
    type.instance_methods(false).map { |name| ["#{name_of[type]}##{name}", type.instance_method(name).arity] }
  end.to_h

  it "has exactly the methods that its signatures name" do
    names = ->(type, signatures) { signatures.to_h { |one| ["#{type}#{one.name}", one.types.size] } }
    of_classes = [nil, "Client", "Worker"].map { |type| names["#{type || "Bridge"}.", NativeMethods.of_class(type)] }
    of_instances = %w[Client LargeText Worker].map { |type| names["#{type}#", NativeMethods.of_instances(type)] }
    expect(functions).to eq(of_classes.reduce(&:merge))
    expect(of_objects).to eq(of_instances.reduce(&:merge))
  end

  it "answers or refuses every wrong argument of its functions" do
    check_all(bridge, NativeMethods.of_class(nil))
    check_all(bridge::Client, NativeMethods.of_class("Client"))
    check_all(bridge::Worker, NativeMethods.of_class("Worker"))
  end

  it "answers or refuses every wrong argument of a client, open and closed" do
    native = client
    2.times { check_all(native, NativeMethods.of_instances("Client")) }
    expect { native.status(1) }.to raise_error(TaskerCore::Error, /closed/)
  end

  it "answers or refuses every wrong argument of a worker, running and stopped", timeout: 300 do
    native = worker
    2.times { check_all(native, NativeMethods.of_instances("Worker")) }
    expect { native.stop(0) }.to raise_error(TaskerCore::Error, /closed/)
  end

  it "refuses what a connection's block brings that is no answer" do
    native = client
    brought = ->(&block) { native.submit_within("{\"name\":\"x\",\"contexts\":[{}]}", &block) }
    [nil, 7, "rows", [], [[], 0], [[[1]], 0, nil], [nil, 0, ["42P01"]], proc {}, Object.new].each do |answer|
      expect { brought.call { answer } }.to raise_error(TypeError)
    end
    expect { brought.call { [nil, -1, nil] } }.to raise_error(RangeError)
    expect { brought.call { raise IOError, "gone" } }.to raise_error(IOError, "gone")
    expect { brought.call { [[%w[x y]], 0, nil] } }
      .to raise_error(TaskerCore::DatabaseError, /column 0 of a row is Some\("x"\), which cannot be read/)
  ensure
    native.close
  end

  it "refuses what the block of a transaction's connection brings that is no answer" do
    native = worker
    [nil, 7, [], [[[1]], 0, nil], proc {}].each do |answer|
      expect { native.check_connection { answer } }.to raise_error(TypeError)
    end
    expect { native.check_connection { raise IOError, "gone" } }.to raise_error(IOError, "gone")
    expect { native.check_connection }.to raise_error(ArgumentError, /without a block/)
    expect { native.check_connection { [[["1 2 3"]], 1, nil] } }
      .to raise_error(TaskerCore::InvalidArgument, /one to a database with other tables/)
    expect(native.record_end(1, 1, 7, "{}", nil) { raise "not asked" }).to eq("lost")
  ensure
    native.stop(0)
  end

  it "makes no objects in other ways than by its functions" do
    native = client
    [bridge::Client, bridge::LargeText, bridge::Worker].each do |type|
      expect { type.new }.to raise_error(TypeError)
      expect { type.allocate }.to raise_error(TypeError)
    end
    expect { native.dup }.to raise_error(TypeError)
    expect { native.clone }.to raise_error(TypeError)
    expect { Marshal.dump(native) }.to raise_error(TypeError)
    expect { bridge::Worker.instance_method(:stats).bind_call(native) }.to raise_error(TypeError)
    native.close
  end

  it "works on a frozen client and keeps no argument" do
    native = client.freeze
    text = +"{\"name\": \"x\", \"contexts\": [{}]}"
    expect { native.submit(text) }.to raise_error(TaskerCore::UnknownTemplate)
    text.replace("")
    expect(native.status(2**40)).to be_nil
  rescue TaskerCore::NotFound => e
    expect(e.details).to eq("task_id" => 2**40)
  ensure
    native.close
  end

  describe "in a process where the garbage collector runs at every chance" do
    around do |example|
      example.run
    ensure
      GC.stress = false
    end

    def stressed
      GC.stress = true
      yield
    ensure
      GC.stress = false
    end

    it "answers and refuses as elsewhere" do
      template = JSON.generate("name" => "one", "step_templates" => [{ "name" => "a", "handler_class" => "A" }])
      native = client
      running = worker
      stressed { native.register_template(template) }
      stressed { native.submit("{\"name\":\"one\",\"contexts\":[{\"a\":\"é\"},{}]}") }
      items = Array.new(2) { stressed { running.next_step(5_000) } }
      items.each { |item| stressed { running.succeed(item[0], item[2], 7, "{\"done\":\"é\"}") } }
      Waiting.wait_until("the tasks are complete") { JSON.parse(native.status(1))["state"] == "complete" }

      expect(items.map { |item| JSON.parse(item[5]) }).to contain_exactly({ "a" => "é" }, {})
      expect { stressed { native.status(99) } }.to raise_error(TaskerCore::NotFound)
      expect { stressed { bridge.check_json("\xFF", "x") } }.to raise_error(TaskerCore::InvalidContext)
      expect(JSON.parse(stressed { native.result(1, nil) })["steps"].first["results"]).to eq("done" => "é")
    ensure
      running&.stop(0)
      native&.close
    end
  end

  it "is shared by threads, of which one closes it" do
    native = client
    running = worker
    calls = NativeMethods.of_instances("Client").map { |one| [native, one] } +
            NativeMethods.of_instances("Worker").map { |one| [running, one] }
    calls.reject! { |_, one| %i[migrate close stop].include?(one.name) }
    threads = Array.new(8) do |seed|
      Thread.new { calls.shuffle(random: Random.new(seed)).each { |to, one| check(to, one.name, one.fitting) } }
    end
    threads << Thread.new { [native.close, running.stop(0)] }
    threads.each(&:join)
    expect { native.workers }.to raise_error(TaskerCore::Error, /closed/)
  end

  it "refuses what was made before a fork, in the child only" do
    native = client
    running = worker
    reader, writer = IO.pipe
    pid = fork do
      writer.write(JSON.generate(answers_in_child("Client" => native, "Worker" => running)))
      exit!(0)
    end
    writer.close
    answers = JSON.parse(reader.read)
    expect(Process.wait2(pid).last).to be_success
    expect(answers.size).to be > 20
    expect(answers.values.uniq).to contain_exactly(/this client was made before a fork/, /this worker was made/)
    expect(JSON.parse(native.workers).size).to eq(1)
  ensure
    reader.close
    running.stop(0)
    native.close
  end

  def answers_in_child(objects)
    objects.flat_map do |type, native|
      NativeMethods.of_instances(type).reject { |one| one.name == :id }.map do |one|
        arguments = one.name == :submit ? ["{\"name\": \"x\", \"contexts\": [{}]}"] : one.fitting
        native.public_send(one.name, *arguments)
      rescue TaskerCore::Error => e
        ["#{type}##{one.name}", e.message]
      end
    end.to_h
  end

  describe "in a program of its own" do
    include CommandLine

    all = [*functions.keys, *of_objects.keys]
    lasting = all.reject { |name| NativeMethods::LAST.include?(name[/\w+\z/].to_sym) }
    # As spec/fixtures/native_calls.rb names them => what they are, and the methods that are called there.
    { "stress" => ["where the collector runs at every chance, and moves what is left", all],
      "child" => ["in a forked child, of what was made before", all],
      "ending" => ["while the process ends", all],
      "finalizer" => ["in a finalizer at its very end", all],
      "threads" => ["in threads that are cut off by its end", lasting],
      "ractors" => ["in ractors, which may not", functions.keys] }.each do |circumstance, (where, names)|
      it "answers or refuses every method #{where}", timeout: 300 do
        program = File.join(CommandLine::ROOT, "spec/fixtures/native_calls.rb")
        words = ["-W0", "-I", File.join(CommandLine::ROOT, "lib"), program, circumstance, RSpec.configuration.seed.to_s]
        outcome = run_program(RbConfig.ruby, *words, env: { "DATABASE_URL" => database_url })
        expect(outcome).to have_attributes(status: 0, err: "")
        expect(outcome.json).to match_array(names)
      end
    end

    preamble = <<~RUBY
      require "tasker_core"
      OPTIONS = JSON.generate("url" => ENV.fetch("DATABASE_URL"))
      BRIDGE = TaskerCore::Internal::Bridge
      client = BRIDGE::Client.connect(OPTIONS)
      worker = BRIDGE::Worker.start(OPTIONS)
    RUBY

    {
      "ends with a client and a worker open" => "",
      "ends while a thread waits for work" => "Thread.new { worker.next_step(60_000) }; Thread.pass",
      "ends while threads ask" => "4.times { Thread.new { loop { client.workers } } }; sleep 0.2",
      "asks while it ends" => "at_exit { print JSON.parse(client.workers).size }; at_exit { worker.stop(0) }",
      "asks in finalizers" => <<~RUBY,
        ObjectSpace.define_finalizer(Object.new, proc { (client.workers; BRIDGE.check_json("{}", "x")) rescue nil })
        $kept = [client, worker]
      RUBY
      "leaves them to the collector" => "client = worker = nil; 5.times { GC.start }; GC.compact",
      "forks, and the child ends as usual" => "Process.wait(fork { GC.start }); exit(1) unless $?.success?",
      "forks, and the child makes its own" => <<~RUBY,
        Process.wait(fork { BRIDGE::Client.connect(OPTIONS).workers; BRIDGE::Worker.start(OPTIONS).stop(0) })
        exit(1) unless $?.success?
      RUBY
      "asks other ractors, which may not" => <<~RUBY
        Warning[:experimental] = false
        Thread.report_on_exception = false
        [-> { Ractor.new { TaskerCore::Internal::Bridge.check_json("{}", "x") }.take },
         -> { Ractor.new { TaskerCore::Internal::Bridge::Client.connect("{}") }.take },
         -> { Ractor.make_shareable(client) }].each do |call|
          call.call
          exit(1)
        rescue Ractor::Error
          nil
        end
      RUBY
    }.each do |what, script|
      it "#{what}, and nothing breaks" do
        ruby = [RbConfig.ruby, "-W0", "-I", File.join(CommandLine::ROOT, "lib"), "-rjson"]
        outcome = run_program(*ruby, "-e", preamble + script, env: { "DATABASE_URL" => database_url })
        expect(outcome).to have_attributes(status: 0, err: "")
      end
    end
  end
end
