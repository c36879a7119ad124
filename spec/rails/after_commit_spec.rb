# frozen_string_literal: true

RSpec.describe "A submit after the commit", database: :empty do
  include RailsApplication

  before { rails("db:migrate") }

  # Ends with how many tasks there are.
  def seen_by(code)
    in_rails(<<~RUBY)
      def submit = TaskerCore.submit("greeting", after_commit: true)
      def tasks = Order.connection.select_value("SELECT count(*) FROM tasker_tasks")
      #{code}
    RUBY
  end

  it "is made when the outermost transaction is committed" do
    expect(seen_by(<<~RUBY)).to eq([nil, 0, nil, 3])
      told = Order.transaction do
        first = Order.transaction(requires_new: true) { submit }
        all = TaskerCore.submit_all("greeting", contexts: [{}, {}], after_commit: true)
        [first, tasks, all]
      end
      [*told, tasks]
    RUBY
  end

  it "is not made when a transaction around it is rolled back" do
    expect(seen_by(<<~RUBY)).to eq([0, 1])
      Order.transaction { Order.transaction { submit }; raise ActiveRecord::Rollback }
      none = tasks
      Order.transaction do
        submit
        Order.transaction(requires_new: true) { submit; raise ActiveRecord::Rollback }
      end
      [none, tasks]
    RUBY
  end

  it "is made at once outside of transactions, and in that of a test" do
    expect(seen_by(<<~RUBY)).to eq([true, [true, nil, 3], 1])
      alone = submit.is_a?(Integer)
      connection = Order.connection
      connection.begin_transaction(joinable: false, _lazy: false)
      in_test = [submit.is_a?(Integer), Order.transaction { submit }, tasks]
      connection.rollback_transaction
      [alone, in_test, tasks]
    RUBY
  end

  it "is refused at once, and has the context as it was" do
    expect(seen_by(<<~RUBY)).to eq(["unknown option reson; did you mean \"reason\"?", { "a" => 1 }])
      context = { a: 1 }
      message = Order.transaction do
        TaskerCore.submit("greeting", context: context, after_commit: true)
        context[:a] = 2
        TaskerCore.submit("greeting", reson: 1, after_commit: true)
      rescue TaskerCore::InvalidArgument => e
        e.message
      end
      [message, Order.connection.select_value("SELECT context FROM tasker_tasks").then { |json| JSON.parse(json) }]
    RUBY
  end
end
