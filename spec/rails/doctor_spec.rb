# frozen_string_literal: true

require_relative "../../chaos/pooler"

RSpec.describe "tasker doctor in a Rails application", database: :empty do
  include RailsApplication

  before { rails("db:migrate") }
  after { @pooler&.close }

  def tasker(*words, **env)
    program = 'require "./config/environment"; require "tasker_core/cli"; exit TaskerCore::CLI.start(ARGV)'
    run_in_application(RbConfig.ruby, "-e", program, *words, **env)
  end

  def doctor(*words, **env)
    tasker("doctor", *words, **env)
  end

  def report(**env)
    doctor("--json", **env).json
  end

  def check(report, name)
    report["checks"].find { |one| one["name"] == name }
  end

  it "finds nothing where all is well, also for people" do
    expect(report).to include("ok" => true, "warnings" => [])
    expect(doctor.out).to match(/ok +0 +database +\S+ answers, and has the tables of version 1\n.* templates /)
  end

  it "knows what `templates validate` refuses here: templates whose handlers are missing" do
    write("config/tasker/broken.yaml", "name: broken\nstep_templates: [{name: a, handler_class: Nowhere}]")
    outcome = tasker("templates", "validate", "config/tasker/broken.yaml", "config/tasker/order_fulfilment.yaml")

    expect([outcome.status, outcome.out]).to match([2, %r{✓ ok  config/tasker/order_fulfilment\.yaml: }])
    expect(outcome.err).to match(/broken\.yaml: step "a": handler class Nowhere cannot be found/)
  end

  it "names templates whose handlers are missing also in production, where all code is loaded at the start" do
    write("config/tasker/broken.yaml", "name: broken\nstep_templates: [{name: a, handler_class: Nowhere}]")
    outcome = doctor("--json", RAILS_ENV: "production")

    expect([outcome.status, check(outcome.json, "templates")])
      .to match([1, include("ok" => false, "found" => 1, "advice" => /deploy the classes/,
                            "detail" => /broken\.yaml: step "a": handler class Nowhere cannot be found/)])
  end

  it "names every template that cannot be loaded, and looks at the others" do
    write("config/tasker/broken.yaml", "name: broken\nstep_templates: [{name: a, handler_class: Nowhere}]")
    write("config/tasker/odd.rb", "TaskerCore.define('odd') { nothing }")
    outcome = doctor("--json")

    expect([outcome.status, outcome.json["ok"]]).to eq([1, false])
    expect(check(outcome.json, "templates"))
      .to include("ok" => false, "found" => 2, "advice" => /correct the files/,
                  "detail" => /odd\.rb: NameError: .*nothing.*broken\.yaml: step "a": handler class Nowhere /)
    expect(doctor.out).to match(/see the failed checks above\n    what to do: correct the files/)
  end

  it "warns of handlers that tasks need, and that are not here" do
    in_rails('TaskerCore.submit("order_fulfilment"); TaskerCore.submit("greeting")')
    FileUtils.rm_r(File.join(folder, "app/handlers/order_fulfilment"))
    FileUtils.rm(File.join(folder, "config/tasker/order_fulfilment.yaml"))

    expect(report).to include("ok" => true, "warnings" => [include(
      "name" => "handlers", "advice" => /deploy them/,
      "detail" => %r{OrderFulfilment::ChargeCard \(step charge_card of default/order_fulfilment 0\.1\.0\), .*::Ship }
    )])
  end

  it "warns of fewer connections of Active Record's than threads" do
    write("config/tasker.yml", "worker: { concurrency: 20 }")
    expect(report["warnings"]).to match([include("name" => "pool_size", "advice" => /pool: .*concurrency:/,
                                                 "facts" => { "threads" => 20, "connections" => 5 })])
  end

  describe "behind PgBouncer in transaction mode" do
    before do
      skip("PgBouncer is not installed; bin/setup --chaos installs it") unless Chaos::Pooler.installed?
      @pooler = Chaos::Pooler.new(database_url, "default_pool_size" => 6)
    end

    let(:url) { "#{@pooler.url}?prepared_statements=false&advisory_locks=false" }

    it "warns of the statements that Active Record prepares" do
      names = ->(**env) { report(**env)["warnings"].map { |warning| warning["name"] } }
      expect(names.call(DATABASE_URL: @pooler.url)).to eq(%w[shared_sessions prepared_statements])
      expect(names.call(DATABASE_URL: url)).to eq(%w[shared_sessions])
    end

    it "submits in transactions and executes transactional steps all the same where it prepares none" do
      seen = in_rails(<<~RUBY, DATABASE_URL: url)
        #{work}
        class Settle < TaskerCore::StepHandler::Base
          self.transactional = true
          def process(task, *)
            Order.find(task.context["order_id"]).update!(shipped: true)
          end
        end
        TaskerCore.define("settle") { step "settle", handler: "Settle" }
        submit = -> { Order.transaction { TaskerCore.submit("settle", context: { order_id: Order.create!.id }) } }
        ids = Array.new(4) { Thread.new { Array.new(5) { submit.call } } }.flat_map(&:value)
        Order.transaction { submit.call; raise ActiveRecord::Rollback }
        [ids.map { |id| work_until(id).state }.uniq, Order.where(shipped: true).count, Order.count, TaskerCore.list.size]
      RUBY
      expect(seen).to eq([["complete"], 20, 20, 20])
    end
  end
end
