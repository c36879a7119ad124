# frozen_string_literal: true

require_relative "../bench/small_run"

RSpec.describe "Connections", :database do
  # More threads than connections by far, and enough steps to keep all of them busy.
  def settings(processes)
    Bench::Settings.new(**SmallRun::SETTINGS.to_h, tasks: 200, concurrency: 64, processes: processes)
  end

  def open_now(connection)
    connection.exec("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() " \
                    "AND application_name = 'tasker_core'").getvalue(0, 0).to_i
  end

  # How many there are, all the time from before the block until none is left after it.
  def count_during
    connection = PG.connect(database_url)
    wait_until("nobody is connected") { open_now(connection).zero? }
    ended = false
    counter = Thread.new do
      counts = [open_now(connection)]
      counts << open_now(connection) until ended && counts.last.zero?
      counts
    end
    yield
    ended = true
    counter.value
  ensure
    counter&.kill&.join
    connection.close
  end

  [1, 2].each do |processes|
    it "are 4 at most in each worker process, whatever the number of threads, from start to stop (#{processes})" do
      all = settings(processes)
      SmallRun.submit(database_url, all)
      counts = count_during { SmallRun.execute(database_url, all) }
      expect(counts.max).to be_between(2 * processes, 4 * processes)
    end
  end
end
