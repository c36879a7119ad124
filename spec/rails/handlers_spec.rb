# frozen_string_literal: true

RSpec.describe "Handlers in a Rails application", database: :empty do
  include RailsApplication

  before { rails("db:migrate") }

  # Code that defines a template of one step, whose handler does this.
  def step(process, name: "one", **options)
    <<~RUBY
      class #{name.capitalize} < TaskerCore::StepHandler::Base
        #{options[:handler]}
        def process(task, sequence, step)
          #{process}
        end
      end
      TaskerCore.define("#{name}"#{options[:template]}) { step "only", handler: "#{name.capitalize}" }
    RUBY
  end

  describe "with current attributes that are to be carried" do
    before { write("config/tasker.yml", "current_attributes: [Current]") }

    let(:seen) { "[Current.user, Current.order&.id]" }
    let(:strict) { ", schema: { type: 'object', properties: { n: {} }, additionalProperties: false }" }

    # Runs a task that was submitted with these at hand.
    def carried(before = "", submit: 'TaskerCore.submit("one")', **env)
      in_rails(<<~RUBY, **env)
        #{work}
        #{before}
        Current.user = "ada"
        Current.order = Order.create!
        id = #{submit}
        Current.reset
        [work_until(id).steps.map { |step| step.results || step.error }, Current.user, Current.order]
      RUBY
    end

    it "have at hand what was at hand where the task was submitted, and nothing else has" do
      expect(carried(step(seen))).to eq([[["ada", 1]], nil, nil])
      expect(in_rails("#{work}\n#{step(seen)}\nwork_until(TaskerCore.submit('one')).results_of('only')"))
        .to eq([nil, nil])
    end

    it "have it where Rails gives the block of `set` the instance, as 7.2 does" do
      set = "def Current.set(attributes)\n  super(attributes) { yield instance }\nend"
      expect(carried("#{step(seen)}\n#{set}")).to eq([[["ada", 1]], nil, nil])
    end

    it "have it in what they run, and Active Job executes for them" do
      below = step(seen, name: "below", handler: "executor :active_job", template: strict)
      before = "ActiveJob::Base.queue_adapter = :async\n#{below}\n#{step("step.run_workflow('below')")}"
      expect(carried(before)).to eq([[{ "only" => ["ada", 1] }], nil, nil])

      other = step("Current.user = 'bob'; step.run_workflow('below', context: { n: 1 })")
      expect(carried("ActiveJob::Base.queue_adapter = :async\n#{below}\n#{other}").first)
        .to eq([{ "only" => ["bob", 2] }])
    end

    it "have it in forks" do
      fork = "TaskerCore.fork(work_until(TaskerCore.submit('one')).task_id, from: 'only', actor: 'ada')"
      expect(carried(step(seen, template: strict), submit: fork)).to eq([[["ada", 1]], nil, nil])
    end

    it "have it in steps that undo others, and in tasks that are submitted together, encrypted as contexts are" do
      before = <<~RUBY
        TaskerCore.configure { |c| c.encryption_keys = { "k" => ["k" * 32].pack("m0") } }
        #{step(seen)}
        #{step("raise TaskerCore::PermanentError, 'no'", name: "fails")}
        TaskerCore.define("undone") do
          step "done", handler: "One", compensate_with: "One"
          step "fails", handler: "Fails", depends_on: "done"
        end
      RUBY
      submit = <<~RUBY.tr("\n", ";")
        TaskerCore.submit_all("undone", contexts: [{}, {}]).each { |id| work_until(id) }
        undoing = TaskerCore.list(name: "undone (compensation)").map(&:task_id).max
        Order.connection.select_value("SELECT count(*) FROM tasker_tasks WHERE context::text LIKE '%ada%'") == 0 ? undoing : raise
      RUBY

      expect(carried(before, submit: "(#{submit})")).to eq([[["ada", 1]], nil, nil])
    end

    it "do not find it in the context, nor do schemas and identities" do
      before = step("[task.context, step.inputs]", template: strict)
      twice = "Array.new(2) { |n| Current.user = n.to_s; TaskerCore.submit('one', context: { n: 7 }, unique: true) }"

      expect(carried(before, submit: "#{twice}.uniq.then { |ids| ids.size == 1 ? ids.first : raise }").first)
        .to eq([[{ "n" => 7 }, { "n" => 7 }]])
      expect(in_rails("#{before}\nbegin TaskerCore.submit('one', context: { tasker_current_attributes: {} }); " \
                      "rescue TaskerCore::InvalidArgument => e; e.message; end")).to match(/the engine's own/)
    end

    it "fail for good where a record is gone that is to be at hand" do
      gone = "TaskerCore.submit('one').tap { Order.delete_all }"
      expect(carried(step(seen), submit: gone).first)
        .to match([hash_including("kind" => "permanent", "code" => "RECORD_NOT_FOUND",
                                  "message" => "current_attributes.Current.order is the record gid://dummy/Order/1, " \
                                               "which is gone")])
    end

    it "leave out what the class has no attribute for any more" do
      id = in_rails("#{step("nil")}\nCurrent.user = 'ada'; Current.order = Order.create!; TaskerCore.submit('one')")
      write("app/models/current.rb", "class Current < ActiveSupport::CurrentAttributes\n  attribute :user\nend\n")

      expect(in_rails("#{work}\n#{step("Current.user")}\nwork_until(#{id}).results_of('only')")).to eq("ada")
    end

    it "are not submitted with what JSON cannot say, nor with classes that are none" do
      refused = "begin TaskerCore.submit('greeting'); rescue TaskerCore::Error => e; e.message; end"
      expect(in_rails("Current.user = Object.new; #{refused}"))
        .to start_with("current_attributes.Current.user is of class Object (#<Object")
      write("config/tasker.yml", "current_attributes: [Order]")
      expect(rails_process("1").err).to match(/names Order, which is not a class of ActiveSupport::CurrentAttributes/)
      write("config/tasker.yml", "current_attributes: Current")
      expect(rails_process("1").err).to match(/tasker.yml: current_attributes is "Current", allowed is names/)
    end
  end

  it "get the records that a context, inputs and results hold" do
    seen = in_rails(<<~RUBY)
      #{work}
      class Find < TaskerCore::StepHandler::Base
        def process(task, *)
          order = task.context["order"]
          { "seen" => [order.class.name, order.shipped, task.context["many"].map(&:id)], "order" => order }
        end
      end
      class Ship < TaskerCore::StepHandler::Base
        def process(task, sequence, step)
          sequence.results_of("find")["order"].update!(shipped: true)
          sequence.find("find").results["seen"]
        end
      end
      TaskerCore.define("records") { step "find", handler: "Find"; step "ship", handler: "Ship", depends_on: "find" }
      id = TaskerCore.submit("records", context: { order: Order.create!, many: [Order.create!, Order.create!] })
      result = work_until(id)
      [result.results_of("ship"), result.results_of("find")["order"], Order.order(:id).pluck(:shipped)]
    RUBY

    expect(seen).to eq([["Order", false, [2, 3]], { "tasker_global_id" => "gid://dummy/Order/1" },
                        [true, false, false]])
  end

  it "are tested with records: contexts that hold the same are the same" do
    seen = in_rails(<<~RUBY)
      require "tasker_core/testing"; require "tasker_core/testing/checks"
      orders = Array.new(2) { Order.create! }
      TaskerCore.submit("greeting", context: { order: orders.first })
      context = TaskerCore::Testing.submitted.first.context
      orders.map { |order| TaskerCore::Testing::Checks.same?({ order: order }, context) } + [context]
    RUBY

    expect(seen).to eq([true, false, { "order" => { "tasker_global_id" => "gid://dummy/Order/1" } }])
  end

  it "fail for good, and say why, where such a record is gone, and wait for its class" do
    code = <<~RUBY
      #{work}
      #{step('step.attempt > 1 ? raise("again") : task.context["order"].id')}
      id = TaskerCore.submit("one", context: { order: Order.create! })
    RUBY
    gone = in_rails("#{code}\nOrder.delete_all\nwork_until(id).step('only').to_h")
    expect(gone).to include("state" => "error", "attempts" => 1)
    expect(gone["error"]).to include("kind" => "permanent", "code" => "RECORD_NOT_FOUND",
                                     "message" => "context.order is the record gid://dummy/Order/1, which is gone")

    id = in_rails("#{code}\nid")
    FileUtils.rm(File.join(folder, "app/models/order.rb"))
    blocked = in_rails("#{work}\n#{step('task.context["order"]')}\nwork_until(#{id}).step('only').to_h")
    expect(blocked).to include("state" => "blocked")
    expect(blocked["error"]["message"]).to match(/context\.order is the record .*, whose class .*uninitialized/)
  end

  it "get numbers as they were given; what would come back as something else is refused" do
    numbers = [2**80, -(10**40), 0.1 + 0.2, 1e15, 5e-324]
    refused = ["Time.zone.now", "Time.now", "Date.today", "5.minutes", "BigDecimal('1.5')", "Order.new", ":a",
               "{ tasker_global_id: 'gid://dummy/Order/1' }"]
    seen, messages = in_rails(<<~RUBY)
      #{work}
      #{step('task.context["numbers"]')}
      refused = [#{refused.join(", ")}].map do |value|
        TaskerCore.submit("one", context: { a: value })
      rescue TaskerCore::InvalidContext => e
        e.message
      end
      [work_until(TaskerCore.submit("one", context: { numbers: #{numbers} })).results_of("only"), refused]
    RUBY

    expect(seen).to eq(numbers)
    expect(messages).to match([/iso8601/, /iso8601/, /iso8601/, /to_i/, /to_s\("F"\)/, /saved/, /to_s/,
                               /context\.a has a key that stands for records/])
  end

  it "have what they are given, and what Active Job takes for them, in no log" do
    code = <<~RUBY
      #{work}
      ActiveJob::Base.queue_adapter = :async
      ActiveJob::Base.logger = Rails.logger
      #{step('task.context["card_number"].size', handler: "executor :active_job")}
      id = Order.transaction { TaskerCore.submit("one", context: { card_number: "4242-4242" }) }
      work_until(id).results_of("only")
    RUBY

    expect(in_rails(code)).to eq(9)
    expect(read("log/test.log")).to include("Enqueued TaskerCore::Jobs::StepJob")
    expect(read("log/test.log")).not_to include("4242-4242")
  end
end
