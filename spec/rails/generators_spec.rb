# frozen_string_literal: true

RSpec.describe "The generators", database: :empty do
  include RailsApplication

  before do
    %w[config/tasker.yml config/tasker db/migrate/20260101000001_create_tasker_core.rb
       db/migrate/20260101000002_create_orders.rb app/handlers].each { |path| FileUtils.rm_r(File.join(folder, path)) }
    write("config/routes.rb", "Rails.application.routes.draw do\nend\n")
  end

  def generate(*words, **env)
    rails("generate", *words, **env)
  end

  # What a generator says that ends with an error; its exit status depends on the version of Rails.
  def said_by(*words)
    outcome = run_in_application(RbConfig.ruby, "bin/rails", "generate", *words)
    outcome.err + outcome.out
  end

  # All files of the application but logs, with what they hold.
  def files
    paths = Dir.glob("**/*", base: folder).reject { |path| path.start_with?("log/") }
    paths.select { |path| File.file?(File.join(folder, path)) }.to_h { |path| [path, read(path)] }
  end

  def migrations
    Dir.children(File.join(folder, "db/migrate")).map { |file| file.sub(/\A\d+_/, "") }
  end

  it "make an application ready for a workflow that is generated, too, and run" do
    generate("tasker_core:install")
    generate("tasker_core:task_handler", "OrderFulfilment", "validate", "charge_card:validate",
             "ship:validate,charge_card")
    rails("db:migrate")
    task_id = in_rails('TaskerCore.submit("order_fulfilment", context: { order_id: 7 })')
    worker = CommandLine::Running.new([RbConfig.ruby, "bin/tasker", "work", "-p", "2"], env: environment, chdir: folder)
    state = in_rails("TaskerCore.wait(#{task_id}, timeout: 30).state")
    wait_until("both are ready", within: 60) { worker.text.scan(/is ready: 1 thread, queues: all/).size == 2 }
    worker.signal("TERM")
    wait_until("the worker ends", within: 30) { worker.status }

    expect([state, worker.status]).to eq(["complete", 0])
    expect(in_rails("TaskerCore.result(#{task_id}).steps.map { |s| [s.name, s.depends_on] }"))
      .to eq([["validate", []], ["charge_card", ["validate"]], ["ship", %w[validate charge_card]]])
    expect(in_rails("Rails.application.routes.url_helpers.tasker_core_path")).to eq("/tasker")
  ensure
    worker&.close
  end

  it "change nothing when they run again" do
    write("spec/rails_helper.rb", "")
    write("Procfile.dev", "web: bin/rails server")
    write("config/puma.rb", "threads 5, 5")
    2.times { generate("tasker_core:install") }
    generate("tasker_core:task_handler", "OrderFulfilment", "validate")
    once = files
    mine = %w[config/initializers/tasker_core.rb app/handlers/order_fulfilment/validate.rb
              spec/handlers/order_fulfilment/validate_spec.rb config/tasker/order_fulfilment.yaml]
           .to_h { |path| [path, "#{once.fetch(path)}\n# mine\n"] }
    mine.each { |path, text| write(path, text) }
    generate("tasker_core:install")
    generate("tasker_core:task_handler", "OrderFulfilment", "validate")
    generate("tasker_core:update")

    expect(files).to eq(once.merge(mine))
    expect(once["Procfile.dev"]).to eq("web: bin/rails server\ntasker: bin/tasker work\n")
    expect(once).not_to have_key("Procfile")
    expect(once["config/puma.rb"])
      .to eq(%(threads 5, 5\nif ENV["TASKER_IN_PUMA"]\n  plugin :tasker_core\n  # tasker_worker concurrency: 2\nend\n))
    expect(once["config/routes.rb"].scan("TaskerCore::Engine").size).to eq(1)
    expect(File.stat(File.join(folder, "bin/tasker")).mode & 0o111).to eq(0o111)
  end

  it "leave out what they are to do without" do
    write("config/puma.rb", "threads 5, 5\n")
    before = files
    parts = %w[initializer config migration bin procfile puma route]
    generate("tasker_core:install", *parts.map { |part| "--skip-#{part}" })
    expect(files).to eq(before)
  end

  it "write a migration to the next version from the one that there is" do
    expect(said_by("tasker_core:update"))
      .to match(%r{no migration of db/migrate makes the tables yet.*tasker_core:install})
    generate("tasker_core:install")
    write("config/initializers/newer.rb", "TaskerCore::Schema.define_singleton_method(:latest) { 2 }")
    generate("tasker_core:update")

    expect(migrations).to contain_exactly("create_tasker_core.rb", "update_tasker_core_to_2.rb")
    update = files.find { |path, _| path.end_with?("_to_2.rb") }.last
    rails = Gem::Specification.find_by_name("railties").version.segments.first(2).join(".")
    expect(update).to match(/class UpdateTaskerCoreTo2 < .*\[#{Regexp.escape(rails)}\]$/)
    expect(update).to match(/def up\n.*version: 2\)\n  end\n\n  def down\n.*version: 1\)/)
  end

  it "say which database an update is to name, where there are several" do
    write("config/database.yml", <<~YAML)
      test:
        primary: { adapter: postgresql, url: "#{database_url}" }
        tasker: { adapter: postgresql, url: "#{database_url}", migrations_paths: db/tasker_migrate }
    YAML
    generate("tasker_core:install", "--database", "tasker")

    expect(said_by("tasker_core:update")).to match(/name it: .*tasker_core:update --database NAME \(tasker\)/)
    expect(said_by("tasker_core:update", "--database", "tasker")).to match(/exist\s+a migration to version 1/)
  end

  it "write the template in Ruby, in a namespace and for a module" do
    generate("tasker_core:task_handler", "Shop::Refund", "check", "pay:check", "--dsl", "--namespace", "shop",
             "--skip-specs")
    seen = in_rails("TaskerCore.templates.map { |t| [t.to_s, t.steps.map { |s| s['handler_class'] }] }")

    expect(seen).to eq([["shop/refund 1.0.0", %w[Shop::Refund::Check Shop::Refund::Pay]]])
    expect(files.keys).to include("config/tasker/shop/refund.rb", "app/handlers/shop/refund/pay.rb")
    expect(files.keys.grep(/spec|test/)).to eq([])
  end

  it "take the module of a name as namespace of the template" do
    %w[Billing::Refund Shop::Eu::Refund].each do |name|
      generate("tasker_core:task_handler", name, "check", "--skip-specs", *("--dsl" if name.start_with?("Shop")))
    end

    expect(in_rails("TaskerCore.templates.map(&:to_s)")).to eq(["shop_eu/refund 1.0.0", "billing/refund 1.0.0"])
  end

  it "write nothing for a name that no class can have" do
    before = files

    expect(said_by("tasker_core:task_handler", "9x", "check")).to match(/the name "9x" is not allowed, it is that of a/)
    expect(files).to eq(before)
  end

  it "write specs that pass" do
    write("spec/rails_helper.rb", "ENV['RAILS_ENV'] = 'test'\nrequire_relative '../config/environment'\n")
    generate("tasker_core:task_handler", "OrderFulfilment", "validate", "charge:validate")
    outcome = run_in_application("rspec", "-I", "spec")
    expect(outcome.out).to include("2 examples, 0 failures")

    FileUtils.rm_r(File.join(folder, "spec"))
    generate("tasker_core:task_handler", "OrderFulfilment", "validate", "charge:validate", "--force")
    write("test/test_helper.rb", "require_relative '../config/environment'\nrequire 'rails/test_help'\n")
    rails("db:migrate")
    tests = run_in_application(RbConfig.ruby, "-Itest", "test/handlers/order_fulfilment/charge_test.rb")
    expect(tests.out).to include("1 runs, 2 assertions, 0 failures, 0 errors")
  end

  {
    [] => /name at least one step/, %w[Charge] => /the step "Charge" is not allowed/,
    %w[a b:c] => /the workflow: .*"c"/, %w[a:b b:a] => /the workflow: .*in a circle/, %w[a a] => /the workflow: .*"a"/
  }.each do |steps, message|
    it "write nothing for the steps #{steps}" do
      before = files

      expect(said_by("tasker_core:task_handler", "Refund", *steps)).to match(message)
      expect(files).to eq(before)
    end
  end
end
