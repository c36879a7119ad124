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

  # What every session sees that writes history.
  def note_durability
    sql("CREATE TABLE seen (name text, setting text)")
    sql(<<~SQL)
      CREATE FUNCTION note_durability() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO seen SELECT name, setting FROM pg_settings
        WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit');
        RETURN NULL;
      END $$
    SQL
    sql("CREATE TRIGGER note AFTER INSERT ON tasker_workflow_step_transitions EXECUTE FUNCTION note_durability()")
  end

  it "commits as the server does by default: sessions of workers set none of what is durable off" do
    note_durability
    SmallRun.drain(database_url)
    expect(sql("SELECT DISTINCT name, setting FROM seen ORDER BY name").map(&:values))
      .to eq([%w[fsync on], %w[full_page_writes on], %w[synchronous_commit on]])
  end

  it "notices that a worker was killed" do
    fleet do |fleet|
      fleet.begin
      Process.kill("KILL", fleet.pids.first)
      expect { fleet.wait_for(1) }.to raise_error(Bench::WorkerFailed, /ended by itself: .*SIGKILL/)
    end
  end
end
