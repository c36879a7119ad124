# frozen_string_literal: true

RSpec.describe "The engine in a Rails application", database: :empty do
  include RailsApplication

  def migrate
    rails("db:migrate")
  end

  it "is not loaded where there is no Rails, and is where there is one" do
    files = "%r{tasker_core/(engine|internal/(rails|active_record))}"
    loaded = "TaskerCore.const_defined?(:Engine, false) || $LOADED_FEATURES.any?(#{files})"
    outcome = run_program(RbConfig.ruby, "-w", "-Ilib", "-rtasker_core", "-e", "p(#{loaded})")

    expect([outcome.out, outcome.err]).to eq(["false\n", ""])
    expect(in_rails(loaded)).to be(true)
  end

  describe "settings" do
    let(:url) { "TaskerCore.client.url" }

    it "are those of the application" do
      seen = in_rails(<<~RUBY)
        c = TaskerCore.configuration
        [c.environment, c.logger.equal?(Rails.logger), TaskerCore.client.url, c.pool_size, c.worker]
      RUBY
      expect(seen).to eq(["test", true, database_url, 3, { "concurrency" => 2 }])
    end

    it "are changed by the initializer, and that by variables" do
      write("config/initializers/tasker_core.rb",
            "TaskerCore.configure { |c| c.pool_size += 2; c.connect_timeout = 7 }")
      code = "TaskerCore.configuration.then { |c| [c.pool_size, c.connect_timeout] }"

      expect(in_rails(code)).to eq([5, 7])
      expect(in_rails(code, TASKER_POOL_SIZE: "9", TASKER_ENV: "production")).to eq([9, 7])
      expect(in_rails(code, RAILS_ENV: "production")).to eq([10, 7])
    end

    it "that are unknown stop the boot with file and key" do
      write("config/tasker.yml", "worker: { concurency: 4 }")
      outcome = rails_process("1")

      expect(outcome.status).to eq(1)
      expect(outcome.err).to match(%r{config/tasker\.yml: unknown key worker\.concurency, .*did you mean "concurrency"})
    end

    it "name the database in the file or the block before Active Record's" do
      write("config/tasker.yml", "database_url: postgres://file/db")
      expect(in_rails(url)).to eq("postgres://file/db")
      write("config/initializers/tasker_core.rb", "TaskerCore.configure { |c| c.database_url = 'postgres://block/db' }")
      expect(in_rails(url)).to eq("postgres://block/db")
    end

    it "take all that config/database.yml says of a database" do
      write("config/database.yml", <<~YAML)
        test:
          primary: { adapter: postgresql, database: shop }
          other:
            adapter: postgresql
            database: a b
            username: "u:1"
            password: "p@/ %"
            host: /var/run/pg
            port: 7777
            sslmode: prefer
            schema_search_path: tasker, public
      YAML
      expect(in_rails(url, DATABASE_URL: nil)).to eq("postgres:///shop")
      write("config/tasker.yml", "database: other")
      expect(in_rails(url, DATABASE_URL: nil))
        .to eq("postgres://u%3A1:p%40%2F%20%25@%2Fvar%2Frun%2Fpg:7777/a%20b?sslmode=prefer&" \
               "options=-c%20search_path%3Dtasker%2C%5C%20public")
    end

    it "that name no Postgres stop the boot with file and key" do
      write("config/database.yml",
            "test: { primary: { adapter: postgresql }, other: { adapter: sqlite3, database: x } }")
      refused = -> { rails_process("1", DATABASE_URL: nil).err }

      write("config/tasker.yml", "database: other")
      expect(refused.call).to match(/tasker\.yml: the database other of .* is no Postgres \(its adapter is sqlite3\)/)
      write("config/tasker.yml", "database: othr")
      expect(refused.call)
        .to match(%r{/config/tasker\.yml: database is "othr", which config.* does not have .*it has primary, other})
    end

    it "that name classes which are not there stop the boot with file and key" do
      write("config/tasker.yml", "current_attributes: [Current, Currentt]")
      expect(rails_process("1").err)
        .to match(%r{/config/tasker\.yml: current_attributes names Currentt, which cannot be found})
      write("config/tasker.yml", "current_attributes: [Order]")
      expect(rails_process("1").err).to match(/current_attributes names Order, which is not a class of ActiveSupport/)
    end
  end

  it "reads config/tasker when a template is needed first, or at the start where all code is loaded" do
    names = "TaskerCore.templates.map(&:name).sort"
    expect(in_rails("[$LOADED_FEATURES.grep(/greet/).size, #{names}]")).to eq([0, %w[greeting order_fulfilment]])

    write("config/tasker/broken.yaml", "name: broken\nstep_template: [{name: a, handler_class: Greet}]")
    expect(in_rails("1")).to eq(1)
    expect(rails_process(names).err).to match(/broken\.yaml: step_template is not a known key/)
    expect(rails_process("1", RAILS_ENV: "production").err).to match(/broken\.yaml: step_template is not a known key/)
  end

  describe "where classes of handlers are missing" do
    def lack_classes
      write("config/tasker/broken.yaml", "name: broken\nstep_templates: [{name: a, handler_class: Nowhere}]")
      write("config/tasker/several.rb", <<~RUBY)
        TaskerCore.define("first") { step "a", handler: Nowhere }
        TaskerCore.define("second") { step "a", handler: "Greet" }
        TaskerCore.define("third") { step "a", handler: "NotLoaded" }
        TaskerCore.define("fourth") { step "a", handler: Greet }
      RUBY
      write("app/handlers/not_loaded.rb", "class NotLoaded < TaskerCore::StepHandler::Base\n  include Lacking\nend")
    end

    def refusals
      in_rails(<<~RUBY, RAILS_ENV: "production")
        %w[broken first third].to_h do |name|
          [name, begin TaskerCore.submit(name) rescue $!.class.name + ": " + $!.message end]
        end
      RUBY
    end

    it "sets their templates aside, tells so, and has everything else go on" do
      migrate
      lack_classes
      seen = in_rails(<<~RUBY)
        #{work}
        states = %w[greeting second fourth].map { |name| work_until(TaskerCore.submit(name)).state }
        [states, TaskerCore.templates.map(&:name).sort]
      RUBY

      expect(seen).to eq([%w[complete complete complete], %w[fourth greeting order_fulfilment second]])
      expect(read("log/test.log").scan(/tasker.*class .*cannot be .*everything else goes on$/))
        .to match([/several\.rb:1: a handler class cannot be loaded \(NameError: uninitialized constant Nowhere, /,
                   /several\.rb:3: step "a": handler class NotLoaded cannot be loaded \(NameError: .*, .*ed\.rb:2\)/,
                   /broken\.yaml: step "a": handler class Nowhere cannot be found/])
    end

    it "boots in production, and refuses to submit what it cannot execute" do
      migrate
      lack_classes
      FileUtils.rm(File.join(folder, "app/handlers/not_loaded.rb"))

      expect(refusals).to match("broken" => /\ATaskerCore::HandlerNotFound: .*broken\.yaml: step "a": .*Nowhere/,
                                "first" => /\ATaskerCore::HandlerNotFound: .*several\.rb:1: .*Nowhere/,
                                "third" => /\ATaskerCore::HandlerNotFound: .*several\.rb:3: .*NotLoaded/)
    end

    it "does not boot in tests that load all code" do
      lack_classes
      write("config/environments/test.rb", "Rails.application.configure { config.eager_load = true }")
      FileUtils.rm(File.join(folder, "app/handlers/not_loaded.rb"))

      expect(rails_process("1").err).to match(/several\.rb:1: a handler class cannot be loaded/)
    end

    it "uses them in development when they are there" do
      migrate
      lack_classes
      seen = in_rails(<<~RUBY, RAILS_ENV: "development")
        #{work}
        before = TaskerCore.templates.size
        File.write("app/handlers/nowhere.rb", "class Nowhere < Greet; end")
        sleep(0.1) until Rails.application.reloaders.any?(&:updated?)
        id = Rails.application.reloader.wrap { TaskerCore.submit("broken") }
        [before, TaskerCore.templates.size, work_until(id).state]
      RUBY

      expect(seen).to eq([4, 6, "complete"])
    end
  end

  it "has the models for reading when one is asked for, and not before" do
    migrate
    loaded = "$LOADED_FEATURES.any?(%r{tasker_core/records})"

    expect(in_rails("[#{loaded}, TaskerCore::Records::Task.count, #{loaded}]")).to eq([false, 0, true])
  end

  it "submits in the transaction in which Active Record is" do
    migrate
    tasks = in_rails(<<~RUBY)
      submit = ->(**options) { TaskerCore.submit("greeting", **options) }
      Order.transaction { Order.create!; submit.call; raise ActiveRecord::Rollback }
      Order.transaction { Order.create!; submit.call }
      Order.transaction { submit.call(connection: false); raise ActiveRecord::Rollback }
      submit.call
      [Order.count, TaskerCore.list.size]
    RUBY

    expect(tasks).to eq([1, 3])
  end

  it "executes handlers as Rails executes code: connections are given back, and the log says for what" do
    migrate
    left, results = in_rails(<<~RUBY)
      #{work}
      result = work_until(TaskerCore.submit("order_fulfilment", context: { order_id: Order.create!.id }))
      pool = ActiveRecord::Base.connection_pool
      [pool.connections.count { |c| c.in_use? && c.owner != Thread.current }, result.to_h]
    RUBY

    task_id = results["task_id"]
    step_id = results["task_id"] << 20
    expect([left, results["state"]]).to eq([0, "complete"])
    expect(read("log/test.log"))
      .to match(/\[TaskerCore\] \[task #{task_id}\] \[step #{step_id} charge_card\] charging order /)
  end

  # Code that gives a Rails without it (before 7.0) what Rails 7.1 has.
  def reporter
    <<~RUBY
      unless Rails.respond_to?(:error)
        reporter = Object.new
        def reporter.subscribe(subscriber)
          @subscriber = subscriber
        end
        def reporter.report(error, handled: true, severity: :warning, context: {}, source: "application")
          @subscriber.report(error, handled: handled, severity: severity, context: { **@context, **context }, source: source)
        end
        def reporter.set_context(**context)
          @context = context
        end
        Rails.define_singleton_method(:error) { reporter }
      end
    RUBY
  end

  it "reports what handlers raise where Rails is told of errors" do
    migrate
    reported, state = in_rails(<<~RUBY)
      #{work}
      class Subscriber
        attr_accessor :reports
        def report(error, handled:, severity:, context:, source:)
          (@reports ||= []) << [error.message, handled, severity, context, source]
        end
      end
      #{reporter}
      Rails.error.subscribe(subscriber = Subscriber.new)
      order = Order.create!
      result = work_until(TaskerCore.submit("order_fulfilment", context: { order_id: order.id, lost: true }))
      [subscriber.reports, result.state]
    RUBY

    context = { "task_id" => 1, "template" => "order_fulfilment", "step_id" => (1 << 20) + 1, "step" => "ship",
                "attempt" => 1 }
    expect(reported).to eq([["looking for the parcel", true, "warning", context, "application"],
                            ["the parcel is lost", false, "error", context, "tasker_core"]])
    expect(state).to eq("error")
  end

  it "executes the code that is there: handlers and templates are loaded anew when they have changed" do
    migrate
    greetings = in_rails(<<~RUBY, RAILS_ENV: "development")
      worker = TaskerCore::Worker.new(heartbeat_interval: 0.1).start
      greet = lambda do
        id = TaskerCore.submit("greeting")
        TaskerCore.wait(id, timeout: 30)
        TaskerCore.result(id).steps.map { |step| [step.name, step.results] }
      end
      change = lambda do |path, from, to|
        File.write(path, File.read(path).sub(from, to))
      end
      seen = [greet.call]
      change.call("app/handlers/greet.rb", "hello", "good morning")
      seen << greet.call
      change.call("config/tasker/greeting.rb", '"greeting")', '"greeting", version: "2.0.0")')
      change.call("config/tasker/greeting.rb", 'step "greet"', 'step "greet_again"')
      Rails.application.reloader.wrap { nil }
      seen << greet.call
      worker.stop!
      worker.wait
      seen
    RUBY

    expect(greetings).to eq([[%w[greet hello]], [["greet", "good morning"]], [["greet_again", "good morning"]]])
  end

  it "executes handlers that came after the worker, and in a transaction what has become transactional" do
    migrate
    seen = in_rails(<<~RUBY, RAILS_ENV: "development")
      worker = TaskerCore::Worker.new(heartbeat_interval: 0.1).start
      # By another process: this one executes steps, and nothing else has it load code.
      submit = lambda do |name|
        program = "require './config/environment'; puts TaskerCore.submit('\#{name}')"
        id = Integer(IO.popen([RbConfig.ruby, "-e", program], &:read))
        TaskerCore.wait(id, timeout: 30)
        step = TaskerCore.result(id).steps.first
        step.results || step.error
      end
      handler = lambda do |name, more = ""|
        File.write("app/handlers/\#{name.downcase}.rb", <<~CODE)
          class \#{name} < TaskerCore::StepHandler::Base
            \#{more}
            def process(*) = ["\#{name}", Order.connection.transaction_open?]
          end
        CODE
      end
      seen = [submit.call("greeting")]
      handler.call("Fresh")
      File.write("config/tasker/fresh.rb", 'TaskerCore.define("fresh") { step "only", handler: "Fresh" }')
      seen << submit.call("fresh")
      handler.call("Fresh", "self.transactional = true")
      seen << submit.call("fresh")
      worker.stop!
      worker.wait
      seen
    RUBY

    expect(seen).to eq(["hello", ["Fresh", false], ["Fresh", true]])
  end

  it "blocks the step whose handler is missing, and executes the others" do
    migrate
    task_id = in_rails('TaskerCore.submit("order_fulfilment", context: { order_id: 7 })')
    FileUtils.rm_r(File.join(folder, "app/handlers/order_fulfilment"))
    FileUtils.rm(File.join(folder, "config/tasker/order_fulfilment.yaml"))
    seen = in_rails(<<~RUBY)
      #{work}
      [work_until(#{task_id}).state, work_until(TaskerCore.submit("greeting")).state, TaskerCore.explain(#{task_id}).to_s]
    RUBY

    expect(seen).to match(["blocked", "complete", %r{template default/order_fulfilment 0\.1\.0, step \W+charge_card}])
    expect(seen.last).to match(/OrderFulfilment::ChargeCard cannot be found.*; deploy it to all workers/)
  end
end
