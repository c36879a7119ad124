# frozen_string_literal: true

RSpec.describe "An application of the Rails engine Tasker", database: :empty do
  include RailsApplication

  before do
    rails("db:migrate")
    write("config/initializers/tasker.rb", 'require "tasker_core/compat"')
    write("app/tasks/shop/refund_handler.rb", "class Shop::RefundHandler < Tasker::ConfiguredTask; end")
    write("app/tasks/shop.rb", "module Shop; end")
    write("app/tasks/shop/pay.rb", <<~RUBY)
      class Shop::Pay < Tasker::StepHandler::Base
        def process(task, _sequence, _step) = task.context["order_id"]
      end
    RUBY
    write("config/tasker/tasks/shop/refund_handler.yaml", <<~YAML)
      name: refund
      namespace_name: shop
      version: 1.0.0
      task_handler_class: RefundHandler
      step_templates:
        - name: pay
          handler_class: Shop::Pay
    YAML
  end

  it "finds task handlers by name before their classes are loaded" do
    seen = in_rails(<<~RUBY)
      #{work}
      get = ->(name) { Tasker::HandlerFactory.instance.get(name, namespace_name: "shop", version: "1.0.0") }
      task = get["refund"].initialize_task!(Tasker::Types::TaskRequest.new(name: "refund", context: { order_id: 7 }))
      missing = begin
        get["refnd"]
      rescue Tasker::ProceduralError => e
        e.message
      end
      [work_until(task.task_id).results_of("pay"), missing]
    RUBY

    expect(seen).to eq([7, 'no task handler is registered as shop/refnd 1.0.0; did you mean "shop/refund 1.0.0"?'])
  end

  %w[test production].each do |environment|
    it "has one template of a file and a class that gives its schema, where RAILS_ENV is #{environment}" do
      write("app/tasks/shop/refund_handler.rb", <<~RUBY)
        class Shop::RefundHandler < Tasker::ConfiguredTask
          def schema = { "type" => "object", "required" => ["order_id"] }
        end
      RUBY
      refusal = <<~RUBY
        begin
          TaskerCore.submit("refund", namespace: "shop")
        rescue TaskerCore::InvalidContext => e
          e.message
        end
      RUBY

      expect(in_rails(refusal, RAILS_ENV: environment)).to match(/"order_id" is a required property/)
    end
  end

  it "sets the template aside whose task handler cannot be loaded" do
    write("app/tasks/shop/refund_handler.rb", "class Shop::RefundHandler < Tasker::ConfiguredTask\n  include No\nend")

    expect(in_rails("[TaskerCore.templates.size, TaskerCore.registry.aside.values.map(&:message)]"))
      .to match([2, [/refund_handler\.yaml: task handler class Shop::RefundHandler cannot be loaded \(NameError: /]])
  end

  it "has other YAML files beside its templates" do
    write("config/tasker/events/custom.yml", "order.placed:\n  description: An order was placed\n")
    write("config/tasker/subscriptions/pager.yaml", "subscriptions:\n  pager: { class: Pager }\n")

    expect(in_rails("TaskerCore.templates.map(&:to_s)")).to include("shop/refund 1.0.0")
  end
end
