# frozen_string_literal: true

RSpec.describe "The test kit in a Rails application", database: :empty do
  include RailsApplication

  before { rails("db:migrate") }

  # As Rails has each test in a transaction.
  let(:in_transaction) do
    <<~RUBY
      require "tasker_core/testing"
      class Note < TaskerCore::StepHandler::Base
        self.transactional = true
        def process(task, _sequence, step)
          Order.create!
          raise "after its order" if task.context["fails"] && step.attempt == 1
          [Thread.current == Thread.main, task.context["order"].id, Order.count]
        end
      end
      TaskerCore.define("noted") do
        step "only", handler: "Note", retry: { base_seconds: 0.01 }
      end
      def in_transaction
        connection = ActiveRecord::Base.connection
        connection.begin_transaction(joinable: false, _lazy: false)
        TaskerCore::Testing.use(:inline) { yield }
      ensure
        connection.rollback_transaction
      end
    RUBY
  end

  it "executes tasks in the transaction of the test, as the application's code" do
    expect(in_rails(<<~RUBY)).to eq([[true, 1, 2], %w[complete], [0, 0]])
      #{in_transaction}
      seen = in_transaction do
        id = Order.transaction do
          order = Order.create!
          TaskerCore.submit("noted", context: { order: order })
        end
        states = TaskerCore::Testing.drain.map(&:state)
        [TaskerCore.result(id).results_of("only"), states]
      end
      [*seen, [Order.count, TaskerCore.client.list.size]]
    RUBY
  end

  it "has the effects of a transactional handler once, whenever its worker dies or it fails" do
    expect(in_rails(<<~RUBY)).to eq([[[true, 1, 2], 2]] * 5)
      #{in_transaction}
      deaths = %i[before_process after_process before_commit after_commit]
      [nil, *deaths].map do |moment|
        in_transaction do
          Order.connection.execute("ALTER SEQUENCE orders_id_seq RESTART")
          order = Order.create!
          TaskerCore::Testing.crash_at(moment, step: "only") if moment
          context = { order: order, fails: moment.nil? }
          result = TaskerCore::Testing.run("noted", context: context, skip_time: true)
          [result.results_of("only"), Order.count]
        end
      end
    RUBY
  end

  it "works in a transactional test as Rails has it, and so does a submit without it" do
    seen, left = in_rails(<<~RUBY)
      #{in_transaction}
      class OrderTest < ActiveSupport::TestCase
        include ActiveRecord::TestFixtures
        cattr_accessor :seen, default: []
        def test_inline
          TaskerCore::Testing.use(:inline) do
            id = TaskerCore.submit("noted", context: { order: Order.create! })
            seen << TaskerCore::Testing.drain(id).map(&:state) << Order.count
          end
        end
        def test_submit
          id = TaskerCore.submit("noted", context: { order: Order.create! })
          seen << Order.connection.select_value("SELECT count(*) FROM tasker_tasks WHERE task_id = \#{id}")
        end
      end
      tests = %w[test_inline test_submit].map { |name| OrderTest.new(name).run }
      [[tests.flat_map(&:failures).map(&:message), OrderTest.seen], [Order.count, TaskerCore.client.list.size]]
    RUBY
    expect(seen).to eq([[], [["complete"], 2, 1]])
    expect(left).to eq([0, 0])
  end

  it "leaves nothing of what a rolled back part of the test has submitted" do
    expect(in_rails(<<~RUBY)).to eq([[], 0])
      #{in_transaction}
      in_transaction do
        Order.transaction(requires_new: true) do
          TaskerCore.submit("noted", context: { order: Order.create! })
          raise ActiveRecord::Rollback
        end
        [TaskerCore.client.list.map(&:task_id), Order.count]
      end
    RUBY
  end

  it "executes tasks in memory although the test is in a transaction, and has nothing of them in the database" do
    expect(in_rails(<<~RUBY)).to eq([%w[complete hello], %w[complete hello], 0])
      #{in_transaction}
      run = lambda do |**options|
        result = TaskerCore::Testing.run("greeting", **options)
        [result.state, result.results_of("greet")]
      end
      connection = Order.connection
      connection.begin_transaction(joinable: false, _lazy: false)
      seen = TaskerCore::Testing.use(:memory) do
        [run.call, Order.transaction { run.call(connection: connection) }]
      end
      [*seen, TaskerCore.client.list.size]
    RUBY
  end

  it "performs a job again by its own task, by another one where the job enqueues itself in a transaction" do
    of_each = { "raises" => [[1, 2], 1], "in a transaction" => [[1, 2], 2] }
    expect(in_rails(<<~RUBY)).to eq([[of_each, ["complete"] * 3]] * 2)
      require "tasker_core/testing"
      class Again < ActiveJob::Base
        self.queue_adapter = :tasker_core
        cattr_accessor :seen
        retry_on(ArgumentError, wait: 0)
        def perform(how)
          seen << [how, executions, provider_job_id]
          return if executions > 1
          raise ArgumentError, "not yet" if how == "raises"
          Order.transaction { retry_job }
        end
      end
      def perform_all
        Again.seen = []
        ["raises", "in a transaction"].each { |how| Again.perform_later(how) }
        2.times { TaskerCore::Testing.drain(skip_time: true) }
        of_each = Again.seen.group_by(&:first).transform_values do |lines|
          [lines.map { |line| line[1] }, lines.map(&:last).uniq.size]
        end
        [of_each, TaskerCore.list.map(&:state)]
      end
      %i[inline memory].map do |mode|
        connection = Order.connection
        connection.begin_transaction(joinable: false, _lazy: false)
        TaskerCore::Testing.use(mode) { perform_all }
      ensure
        connection.rollback_transaction
      end
    RUBY
  end

  it "executes a transactional handler once, in a transaction that is kept where it completes" do
    attempts = <<~RUBY
      fails = { fails: true, order: Order.create! }
      seen = [fails, { order: Order.last }].map do |context|
        attempt = TaskerCore::Testing.run_step(Note, context: context)
        [attempt.state, (attempt.results || attempt.error["message"]), Order.count]
      end
    RUBY
    ended = [["waiting_for_retry", "after its order", 1], ["complete", [true, 1, 2], 2]]
    expect(in_rails(<<~RUBY)).to eq([ended, ended, 2])
      #{in_transaction}
      inside = in_transaction { #{attempts} }
      Order.connection.execute("ALTER SEQUENCE orders_id_seq RESTART")
      [inside, begin #{attempts} end, Order.count]
    RUBY
  end

  it "keeps what was committed, where tests are in no transaction" do
    expect(in_rails(<<~RUBY)).to eq([true, ["complete"], 1, 1])
      #{in_transaction}
      require "tasker_core/testing/checks"
      TaskerCore::Testing.use(:inline)
      rolled_back = lambda do
        Order.transaction { TaskerCore.submit("noted", context: { order: Order.create! }) && raise(ActiveRecord::Rollback) }
      end
      noticed = TaskerCore::Testing::Checks::Enqueued.new("noted", times: 1).fault(&rolled_back).nil?
      Order.transaction { TaskerCore.submit("noted", context: { order: Order.create! }) }
      Order.transaction { Order.count }
      states = TaskerCore::Testing.drain.map(&:state)
      [noticed, states, TaskerCore::Testing.submitted.size, TaskerCore.client.list.size]
    RUBY
  end

  describe "for the whole process, in Rails' own tests" do
    before do
      rails("db:schema:dump")
      write("test/orders_test.rb", <<~RUBY)
        require_relative "../config/environment"
        require "rails/test_help"
        require "tasker_core/testing/assertions"

        class Note < TaskerCore::StepHandler::Base
          def process(_task, _sequence, step)
            step.sleep_for(86_400) if step.waits.zero?
            Order.create!
            nil
          end
        end

        TaskerCore::Testing.use(:inline)
        TaskerCore.define("noted") { step "only", handler: "Note" }

        class OrdersTest < ActiveSupport::TestCase
          include TaskerCore::Testing::Assertions
          parallelize(workers: ENV.fetch("WORKERS").to_i)

          6.times do |number|
            test "is alone \#{number}" do
              assert_equal [0, []], [Order.count, TaskerCore.client.list]
              assert_enqueued_task("noted", times: 1) { TaskerCore.submit("noted") }
              TaskerCore::Testing.drain
              assert_waiting_for TaskerCore::Testing.submitted.first, :time
              TaskerCore::Testing.advance(86_401)
              assert_equal ["complete"], TaskerCore::Testing.drain.map(&:state)
              assert_equal [1, 1], [Order.count, TaskerCore.client.list.size]
            end
          end
        end
      RUBY
    end
    # @param workers [Integer] with a database for each, where there are several
    def test_with(workers:)
      outcome = run_in_application(RbConfig.ruby, "-Itest", "test/orders_test.rb", WORKERS: workers.to_s)
      outcome.out + outcome.err
    ensure
      name = File.basename(database_url)
      workers.times { |number| TestServer.drop_database(%("#{name}-#{number}")) } if workers > 1
    end

    it "is alone with each test" do
      expect(test_with(workers: 1)).to include("6 runs, 30 assertions, 0 failures, 0 errors")
    end

    it "is alone with each test, in the processes of parallel ones" do
      expect(test_with(workers: 2)).to include("6 runs, 30 assertions, 0 failures, 0 errors")
    end
  end
end
