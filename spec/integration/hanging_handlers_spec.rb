# frozen_string_literal: true

require "logger"
require "stringio"

RSpec.describe "A handler that goes on although its attempt is over", :database do
  include Workflows

  let(:log) { StringIO.new }
  let(:gate) { Thread::Queue.new }

  before do
    queue = gate
    TaskerCore.configure { |c| c.logger = Logger.new(log) }
    handler("Hang") { |task| task.context["hangs"] ? queue.pop : "done" }
    TaskerCore.define("hanging") { step "only", handler: "Hang", timeout: 0.2, retry_limit: 1 }
  end

  after { gate.close }

  def submit(hangs)
    TaskerCore.submit("hanging", context: { hangs: hangs })
  end

  def wait_for(*tasks)
    tasks.each { |task| TaskerCore.wait(task, timeout: 30) }
  end

  it "loses its thread's place to another, and ends its own without a trace" do
    working(concurrency: 1) do |worker|
      hung = submit(true)
      other = submit(false)
      wait_for(hung, other)
      expect(worker.stats).to include("hanging" => 1)
      gate << "late"
      wait_until("its thread has ended") { worker.stats["hanging"].zero? }
      expect([hung, other].map { |task| TaskerCore.status(task).state }).to eq(%w[error complete])
      wait_for(again = submit(false))
      expect(TaskerCore.result(again).results_of("only")).to eq("done")
    end
    expect(log.string).to match(/step only of task \d+, attempt 1: ended by others, and its handler goes on/)
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "does not keep the worker from stopping" do
    worker = TaskerCore::Worker.new(**Workflows::QUICK, concurrency: 1, shutdown_timeout: 60).start
    wait_for(submit(true))
    worker.stop
    expect(worker.wait(timeout: 30)).to have_attributes(finished: 1, in_order: true)
  ensure
    worker&.stop!
  end

  it "ends the worker when no thread is left, and others get what it holds" do
    worker = TaskerCore::Worker.new(**Workflows::QUICK, concurrency: 1).start
    hung = [submit(true), submit(true)]
    wait_for(*hung)
    waiting = submit(false)
    expect { worker.wait(timeout: 30) }
      .to raise_error(TaskerCore::HandlersHang, /all 1 threads of the worker, and 1 that were replaced/)
    working { wait_for(waiting) }
    expect(TaskerCore.status(waiting).state).to eq("complete")
    expect(TaskerCore.client.doctor["ok"]).to be(true)
  end

  it "keeps its place where nobody has ended its attempt" do
    TaskerCore.define("slow") { step "only", handler: "Hang" }
    working(concurrency: 1) do |worker|
      slow = TaskerCore.submit("slow", context: { hangs: true })
      sleep 2.5
      expect(worker.stats).to include("hanging" => 0)
      gate << "in time"
      wait_for(slow)
      expect(TaskerCore.result(slow).results_of("only")).to eq("in time")
    end
  end
end
