# frozen_string_literal: true

RSpec.describe "Jobs of a Rails application that tasker_core performs", database: :empty do
  include RailsApplication

  before do
    rails("db:migrate")
    write("config/tasker.yml", "current_attributes: [Current]")
    write("config/initializers/active_job.rb", "Rails.application.config.active_job.queue_adapter = :tasker_core")
    write("app/jobs/ship_job.rb", <<~RUBY)
      class ShipJob < ActiveJob::Base
        retry_on(ArgumentError, wait: 0)

        def perform(order)
          raise ArgumentError, "not yet" if executions < 2

          order.update!(shipped: Current.user == "ada" && Time.zone.name == "Europe/Oslo")
        end
      end
    RUBY
    write("config/routes.rb", <<~RUBY)
      Rails.application.routes.draw { post "/orders", to: "orders#create" }
    RUBY
    write("app/controllers/orders_controller.rb", <<~RUBY)
      class OrdersController < ActionController::Base
        skip_forgery_protection

        def create
          Current.user = "ada"
          Time.use_zone("Europe/Oslo") do
            Order.transaction do
              job = ShipJob.perform_later(Order.create!)
              response.headers["X-Task"] = job.provider_job_id.to_s
              raise ActiveRecord::Rollback if params[:lost]
            end
          end
          head :created
        end
      end
    RUBY
  end

  it "are performed as requests enqueued them, in whose transactions they are written" do
    seen = in_rails(<<~RUBY)
      #{work}
      session = ActionDispatch::Integration::Session.new(Rails.application)
      answers = ["/orders", "/orders?lost=1"].map { |path| [session.post(path), session.response.headers["X-Task"]] }
      [answers, TaskerCore.list.map { |task| work_until(task.task_id).state }, Order.pluck(:id, :shipped), Current.user]
    RUBY

    expect(seen).to eq([[[201, "1"], [201, "2"]], ["complete"], [[1, true]], nil])
  end

  it "are performed by a worker of an application that has no templates" do
    FileUtils.rm_r(File.join(folder, "config/tasker"))
    template = "generators/tasker_core/install/templates/tasker.tt"
    write("bin/tasker", File.read(File.join(RailsApplication::LIBRARY, template)))
    task_id = in_rails("ShipJob.perform_later(Order.create!).provider_job_id")
    worker = CommandLine::Running.new([RbConfig.ruby, "bin/tasker", "work"], env: environment, chdir: folder)

    expect(in_rails("TaskerCore.wait(#{task_id}, timeout: 30).state")).to eq("complete")
  ensure
    worker&.close
  end
end
