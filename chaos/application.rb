# frozen_string_literal: true

require "pg"
require "timeout"
require "tasker_core"
require_relative "background"
require_relative "caller"
require_relative "clock"
require_relative "graphs"
require_relative "load"
require_relative "request"

module Chaos
  # An application that saves orders, and submits their tasks in the transactions in which it does that, through the
  # connections that faults happen to. Some it commits, some it takes back, and some it leaves without an end, as one
  # does that is killed. In the end an order that is there has its tasks, and no other has any.
  class Application
    include Background

    # Its number, what the submits told of its tasks, and what the application knows of it: it was :committed, or
    # :undone, or is :unsure.
    Order = Struct.new(:number, :receipts, :fate) do
      # @return [Array<Integer>] of its tasks
      def ids
        receipts.map(&:task_id)
      end
    end

    TABLE = "CREATE TABLE chaos.orders (number bigint PRIMARY KEY)"
    SAVE = "INSERT INTO chaos.orders VALUES ($1)"
    SAVED = "SELECT number FROM chaos.orders"
    # Forks, and tasks that undo others, have the contexts of those.
    TASKS = <<~SQL
      SELECT task_id, context->>'order' AS number FROM tasker_tasks WHERE context ? 'order'
        AND task_id NOT IN (SELECT task_id FROM tasker_compensations)
        AND task_id NOT IN (SELECT task_id FROM tasker_task_forks)
      ORDER BY task_id
    SQL
    # Of its sessions, for the faults that are about them.
    NAME = "chaos_application"
    # The server ends a transaction that it does not hear of any more, and waits for no lock for long.
    OPTIONS = "-c idle_in_transaction_session_timeout=10s -c lock_timeout=5s"
    # Seconds that a connection is waited for, and after one that failed.
    PATIENCE = 5
    PAUSE = 0.2
    # How transactions end, and how many of ten.
    ENDS = { commit: 7, rollback: 2, leave: 1 }.flat_map { |name, share| [name] * share }.freeze
    # Submits of an order, and tasks of a submit, at most.
    MOST = 3
    # One in so many orders has tasks that are taken back to a savepoint.
    REGRETTED = 3
    # One order for so many other tasks.
    SHARE = 6
    TEMPLATES = Graphs::TEMPLATES.reject { |template| [*Load::LED, Hung::TEMPLATE].include?(template.name) }.freeze

    class << self
      # @param orders [Array<Order>]
      # @param saved [Array<Integer>] numbers of those that are there
      # @param tasks [Hash{Integer => Array<Integer>}] ids of the tasks that are there, by number of the order
      # @return [Array<String>] what is wrong
      # @example
      #   Application.compare([Order.new(1, [], :undone)], [1], {}) # => ["order 1: it was undone, and is there"]
      def compare(orders, saved, tasks)
        orders.flat_map { |order| complaints(order, saved.include?(order.number), tasks.fetch(order.number, [])) }
      end

      private

      def complaints(order, saved, ids)
        found = saved ? complaints_there(order, ids) : complaints_not_there(order, ids)
        found.map { |complaint| "order #{order.number}: #{complaint}" }
      end

      def complaints_there(order, ids)
        [*("it was undone, and is there" if order.fate == :undone),
         *(order.ids - ids).map { |id| "it is there, without task #{id}" },
         *(ids - order.ids).map { |id| "task #{id} is there, and is not of it" }]
      end

      def complaints_not_there(order, ids)
        [*("it was committed, and is not there" if order.fate == :committed),
         *ids.map { |id| "it is not there, and task #{id} is" }]
      end
    end

    # @return [Array<Receipt>] of tasks whose transactions were committed
    attr_reader :receipts
    # @return [Array<Order>] that were begun
    attr_reader :orders

    # @param url [String]
    # @param server [Server] asked straight for what is there
    # @param seed [Integer] what is ordered
    # @param rate [Float] tasks a second that others make
    # @yieldparam receipt [Receipt] of each task as soon as its transaction was committed
    def initialize(url, server, seed:, rate:, &made)
      @url = url
      @server = server
      @caller = Caller.new(url)
      @random = Random.new(seed)
      @pause = SHARE / rate
      @made = made || ->(_) {}
      @receipts = []
      @orders = []
    end

    # @return [Hash{Symbol => Integer}] as {Caller#counts}
    def counts
      @caller.counts
    end

    # Once nothing is written any more.
    #
    # @return [Array<String>] what is wrong
    def violations
      saved = @server.rows(SAVED).map { |row| row["number"].to_i }
      tasks = @server.rows(TASKS).group_by { |row| row["number"].to_i }
      Application.compare(@orders, saved, tasks.transform_values { |rows| rows.map { |row| row["task_id"].to_i } })
    end

    private

    def run
      until stopping?
        place(Order.new(@orders.size + 1, [], :undone))
        sleep(@pause)
      end
    ensure
      @caller.close
      leave
    end

    def place(order)
      @orders << order
      @connection ||= connect
      @connection.exec("BEGIN")
      commit(order) if work(order)
    rescue PG::Error, Timeout::Error
      sleep(PAUSE)
    ensure
      give_up
    end

    def connect
      options = { application_name: NAME, options: OPTIONS, connect_timeout: PATIENCE }
      connection = Timeout.timeout(PATIENCE) { PG.connect(@url, **options) }
      connection.set_notice_processor { nil }
      connection.extend(Effects::Patient)
    end

    # @return [Boolean] whether it is to be committed; what is not ends anywhere
    def work(order)
      ending = ENDS.sample(random: @random)
      deeds = deeds(order)
      deeds = deeds.take(@random.rand(0..deeds.size)) unless ending == :commit
      done = deeds.all?(&:call)
      leave if ending == :leave
      done && ending == :commit
    end

    def deeds(order)
      deeds = Array.new(@random.rand(1..MOST)) { -> { order_tasks(order) } }
      deeds << -> { save(order) }
      deeds << -> { regret(order) } if @random.rand(REGRETTED).zero?
      deeds.shuffle(random: @random)
    end

    def save(order)
      @connection.exec_params(SAVE, [order.number])
    end

    def order_tasks(order)
      receipts = submit(order)
      receipts && order.receipts.concat(receipts)
    end

    # Submits, and takes that back.
    def regret(order)
      @connection.exec("SAVEPOINT regretted")
      submit(order) && @connection.exec("ROLLBACK TO SAVEPOINT regretted")
    end

    # @return [Array<Receipt>, nil] nil: it failed
    def submit(order)
      template = TEMPLATES.sample(random: @random)
      contexts = Array.new(@random.rand(1..MOST)) { { "seed" => @random.rand(2**31), "order" => order.number } }
      options = { namespace: template.namespace, connection: @connection }
      ids = @caller.call { |client| client.submit_all(template.name, contexts: contexts, **options) }
      ids&.zip(contexts)&.map { |id, context| Receipt.new(id, template.name, context.fetch("seed"), []) }
    rescue TaskerCore::InvalidArgument
      # What is not in a transaction any more is refused.
      raise if @connection.transaction_status == PG::PQTRANS_INTRANS
    end

    def commit(order)
      order.fate = :unsure
      @connection.exec("COMMIT")
      order.fate = :committed
      order.receipts.each { |receipt| remember(receipt) }
    rescue PG::Error
      # A server that goes on has refused.
      order.fate = :undone if @connection.transaction_status == PG::PQTRANS_IDLE
      raise
    end

    def remember(receipt)
      receipt.made_ns = Clock.now_ns
      @receipts << receipt
      @made.call(receipt)
    end

    # What is open is taken back: by the server, where the connection is lost.
    def give_up
      case @connection&.transaction_status
      when nil, PG::PQTRANS_IDLE then nil
      when PG::PQTRANS_INTRANS, PG::PQTRANS_INERROR then @connection.exec("ROLLBACK")
      else leave
      end
    rescue PG::Error, Timeout::Error
      leave
    end

    def leave
      @connection&.close unless @connection&.finished?
      @connection = nil
    end
  end
end
