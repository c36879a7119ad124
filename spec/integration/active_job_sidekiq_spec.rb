# frozen_string_literal: true

require "socket"
require "tmpdir"

# A worker that hands steps to processes of Sidekiq, with a Redis of the example's own.
RSpec.describe "Steps that Sidekiq executes", :database, timeout: 180 do
  include CommandLine
  include Workflows

  let(:folder) { Dir.mktmpdir("tasker") }
  let(:redis_socket) { File.join(folder, "redis") }
  let(:application) { File.join(CommandLine::ROOT, "spec/fixtures/active_job_fleet.rb") }
  let(:journal) { File.join(folder, "journal") }
  let(:lost_after) { 60 }
  let(:env) do
    { "DATABASE_URL" => database_url, "REDIS_URL" => "unix://#{redis_socket}", "JOURNAL" => journal,
      "LOST_AFTER" => lost_after.to_s }
  end

  around do |example|
    missing = %w[activejob sidekiq].reject { |name| Gem::Specification.find_all_by_name(name).any? }
    missing << "redis-server" unless ENV.fetch("PATH").split(":").any? { |path| File.exist?("#{path}/redis-server") }
    skip "#{missing.join(", ")} not installed" if missing.any?

    with_redis { example.run }
  end

  after { FileUtils.rm_rf(folder) }

  def with_redis(&block)
    running("redis-server", "--port", "0", "--unixsocket", redis_socket, "--save", "", env: {}) do
      wait_until("Redis listens") { listening? }
      block.call
    end
  end

  def listening?
    UNIXSocket.open(redis_socket, &:close)
    true
  rescue SystemCallError
    false
  end

  def with_sidekiq
    library = File.join(CommandLine::ROOT, "lib")
    running(RbConfig.ruby, "-I", library, "-S", "sidekiq", "-r", application, "-q", "rendering", "-c", "1", "-t", "1",
            env: env) do |sidekiq|
      wait_until("Sidekiq works", within: Workflows::PATIENCE_SECONDS) { sidekiq.text.include?("Sidekiq works") }
      yield sidekiq
    end
  end

  def with_worker
    tasker_running("work", "-r", application, env: env) do
      wait_until("the worker works", within: Workflows::PATIENCE_SECONDS) { TaskerCore.client.workers.any? }
      yield
    end
  end

  def executions
    File.exist?(journal) ? File.readlines(journal, chomp: true) : []
  end

  it "executes every step in a process of Sidekiq" do
    with_sidekiq do |sidekiq|
      with_worker do
        id = TaskerCore.submit("render")
        TaskerCore.wait(id, timeout: Workflows::PATIENCE_SECONDS)

        expect(TaskerCore.result(id).steps.map(&:results)).to eq(
          [{ "pid" => sidekiq.pid, "before" => false }, { "pid" => sidekiq.pid, "before" => sidekiq.pid }]
        )
        expect(executions).to eq(["#{sidekiq.pid} first 1", "#{sidekiq.pid} second 1"])
      end
    end
  end

  it "has another process execute a step whose process is told to stop" do
    with_worker do
      id = interrupted("TERM")
      with_sidekiq do |other|
        expect(TaskerCore.wait(id, timeout: Workflows::PATIENCE_SECONDS)).to be_complete
        expect(executions.drop(1)).to match([/ second 1\z/, "#{other.pid} second 1"])
        expect(outcomes(id)).to eq([["waiting", nil], ["succeeded", nil]])
      end
    end
  end

  context "when a process is killed" do
    let(:lost_after) { 5 }

    it "hands its steps over anew" do
      with_worker do
        id = interrupted("KILL")
        with_sidekiq do |other|
          expect(TaskerCore.wait(id, timeout: 2 * Workflows::PATIENCE_SECONDS)).to be_complete
          expect([executions[1], executions.last]).to match([/ second 1\z/, /\A#{other.pid} second \d\z/])
          expect(outcomes(id).first(3)).to eq([["waiting", nil], %w[retryable JOB_LOST], ["waiting", nil]])
          expect(outcomes(id).last).to eq(["succeeded", nil])
        end
      end
    end
  end

  # Ends Sidekiq by a signal in the middle of the second step of a task.
  def interrupted(signal)
    with_sidekiq do |sidekiq|
      TaskerCore.submit("render", context: { hang: true }).tap do
        wait_until("the second step is executed", within: Workflows::PATIENCE_SECONDS) { executions.size == 2 }
        sidekiq.signal(signal)
        wait_until("Sidekiq has ended", within: Workflows::PATIENCE_SECONDS) { sidekiq.status }
      end
    end
  end

  def outcomes(id)
    attempts = TaskerCore.explain(id, step: "second")["steps"].first["attempts"]
    attempts.map { |attempt| [attempt["outcome"], attempt.dig("error", "code")] }
  end
end
