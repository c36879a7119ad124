# frozen_string_literal: true

RSpec.describe "The pages of the mounted engine", database: :empty do
  include RailsApplication

  # Code by which `get` returns status, type and body of what a path answers.
  def get
    <<~RUBY
      session = ActionDispatch::Integration::Session.new(Rails.application)
      get = lambda do |path, **options|
        session.get(path, **options)
        [session.status, session.response.media_type, (JSON.parse(session.body) rescue session.body)]
      end
    RUBY
  end

  def answers(*paths, before: "", **env)
    in_rails("#{get}\n#{before}\n#{paths.inspect}.map { |path| get.call(path) }", **env)
  end

  it "tell how the application and its tasks are, without what is filtered" do
    rails("db:migrate")
    before = <<~RUBY
      order = Order.create!
      3.times { |i| TaskerCore.submit(i.zero? ? "order_fulfilment" : "greeting", context: i.zero? ? { order_id: order.id } : {}) }
      worker = TaskerCore::Worker.new(heartbeat_interval: 0.1).start
      (1..3).each { |id| TaskerCore.wait(id, timeout: 30) }
      worker.stop!
      worker.wait
    RUBY
    health, tasks, page, greetings, task = answers("/tasker/health", "/tasker/tasks", "/tasker?limit=1&before=3",
                                                   "/tasker/tasks?name=greeting&state=complete", "/tasker/tasks/1",
                                                   before: before)

    expect(health).to eq([200, "application/json", { "status" => "ok", "schema_version" => 1, "workers" => 0 }])
    ids = [tasks, page, greetings].map { |answer| answer.last["tasks"].map { |one| one["task_id"] } }
    expect(ids).to eq([[3, 2, 1], [2], [3, 2]])
    expect(task.last).to include("task_id" => 1, "name" => "order_fulfilment", "state" => "complete",
                                 "explanation" => /\S/)
    expect(task.last["steps"].map { |step| [step["name"], step["results"]] })
      .to eq([["charge_card", { "charge_id" => "ch_1", "card_number" => "[FILTERED]" }], ["ship", nil]])
  end

  it "tell what handlers say of failures, without what is filtered" do
    rails("db:migrate")
    write("app/handlers/greet.rb", <<~RUBY)
      class Greet < TaskerCore::StepHandler::Base
        def process(*)
          raise TaskerCore::PermanentError.new("no", context: { card_number: "4242", order: 7 })
        end
      end
    RUBY
    task, = answers("/tasker/tasks/1", before: "#{work}\nwork_until(TaskerCore.submit('greeting'))")

    expect(task.last["steps"].first["error"])
      .to include("message" => "no", "context" => { "card_number" => "[FILTERED]", "order" => 7 })
  end

  it "say what they cannot show" do
    rails("db:migrate")
    seen = answers("/tasker/tasks/99", "/tasker/tasks/x", "/tasker/tasks?state=done", "/tasker/tasks?limit=x")

    expect(seen.map(&:first)).to eq([404, 400, 400, 400])
    expect(seen.map { |answer| answer.last["error"] }).to match([/99/, /x/, /done/, /limit/])
  end

  it "say that the tables, or the database, are missing" do
    migrated, = answers("/tasker/health")
    expect(migrated).to match([503, anything, { "status" => "unavailable",
                                                "error" => { "code" => "schema_mismatch", "message" => /migrate/ } }])

    away, = answers("/tasker/health", DATABASE_URL: "postgres://127.0.0.1:1/nowhere")
    expect(away).to match([503, anything, hash_including("error" => hash_including("code" => "database_unavailable"))])
    tasks = [answers("/tasker/tasks"), answers("/tasker/tasks", DATABASE_URL: "postgres://127.0.0.1:1/nowhere")]
    expect(tasks.map { |(answer)| answer.first }).to eq([503, 503])
  end

  it "are seen by nobody outside of development and test until somebody says by whom" do
    paths = %w[/tasker /tasker/health /tasker/tasks /tasker/tasks/1]
    seen = answers(*paths, RAILS_ENV: "production")

    expect(seen.map(&:first)).to eq([403] * 4)
    expect(seen.map { |answer| answer.last["error"] })
      .to all(match(/without an authenticator, .* in production.*initializers.tasker_core\.rb.*c\.authenticator/))
  end

  it "are seen by those whom the authenticator lets in, which may answer itself" do
    rails("db:migrate")
    write("config/initializers/tasker_core.rb", <<~RUBY)
      TaskerCore.configure do |c|
        c.authenticator = lambda do |controller|
          next controller.request.headers["X-Role"] == "admin" if controller.request.headers["X-Role"]

          controller.authenticate_or_request_with_http_basic { |name, word| [name, word] == %w[ada secret] }
        end
      end
    RUBY
    seen = in_rails(<<~RUBY, RAILS_ENV: "production")
      #{get}
      basic = ->(name, word) { ActionController::HttpAuthentication::Basic.encode_credentials(name, word) }
      [{ "X-Role" => "admin" }, { "X-Role" => "guest" }, {}, { "Authorization" => basic.call("ada", "secret") },
       { "Authorization" => basic.call("ada", "guess") }].map { |headers| get.call("/tasker/tasks", headers: headers).first }
    RUBY

    expect(seen).to eq([200, 403, 401, 200, 401])
  end
end
