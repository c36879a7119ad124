# frozen_string_literal: true

require_relative "small_run"

RSpec.describe Bench::Fleet, :database do
  def fleet(url = database_url, &block)
    described_class.open(SmallRun::SETTINGS, url, &block)
  end

  it "says what is missing when no step is completed any more" do
    SmallRun.submit(database_url)
    fleet do |fleet|
      fleet.begin
      expect { fleet.wait_for(11, stalled: 1) }
        .to raise_error(Bench::WorkerFailed, "1 of 11 steps are not complete, and none was completed for 1 s")
    end
  end

  it "notices that a worker cannot begin, which says why" do
    failure = raise_error(Bench::WorkerFailed, /ended by itself: .*exit 1/)
    expect { expect { fleet(TestServer.url_of("no_such_database"), &:begin) }.to failure }
      .to output(/does not exist/).to_stderr_from_any_process
  end

  it "notices that a worker was killed" do
    fleet do |fleet|
      fleet.begin
      Process.kill("KILL", fleet.pids.first)
      expect { fleet.wait_for(1) }.to raise_error(Bench::WorkerFailed, /ended by itself: .*SIGKILL/)
    end
  end
end
