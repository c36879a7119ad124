# frozen_string_literal: true

# The limits of docs/limits.md as a program meets them: what is just within is kept, one more is refused.
RSpec.describe "The limits", :database do
  include Workflows

  # A hash whose JSON is so long.
  def of_bytes(bytes)
    { "a" => "x" * (bytes - '{"a":""}'.bytesize) }
  end

  def configure(**settings)
    TaskerCore.client.close
    TaskerCore.configure do |c|
      c.database_url = database_url
      settings.each { |name, value| c.public_send("#{name}=", value) }
    end
  end

  before { define_one { |task| of_bytes(task.context.fetch("bytes")) } }
  after { configure(max_context_bytes: 1_048_576) }

  { 1_048_576 => {}, 1_024 => { max_context_bytes: 1_024 }, 3_000_000 => { max_context_bytes: 3_000_000 } }
    .each do |most, settings|
    it "takes contexts of #{most} bytes with #{settings.empty? ? "no settings" : settings}" do
      configure(**settings)
      expect(TaskerCore.submit("one", context: of_bytes(most))).to eq(1)
      expect { TaskerCore.submit("one", context: of_bytes(most + 1)) }
        .to raise_error(TaskerCore::InvalidContext, /#{most + 1} bytes of JSON; at most #{most} are allowed/)
    end
  end

  { 1_048_576 => {}, 1_024 => { max_results_bytes: 1_024 }, 3_000_000 => { max_results_bytes: 3_000_000 } }
    .each do |most, options|
    it "keeps results of #{most} bytes with #{options.empty? ? "no options" : options}" do
      ids = TaskerCore.submit_all("one", contexts: [{ bytes: most }, { bytes: most + 1 }])
      working(**options) { ids.each { |id| TaskerCore.wait(id, timeout: 30) } }
      kept, refused = ids.map { |id| TaskerCore.result(id) }
      expect(kept.results_of("only")).to eq(of_bytes(most))
      error = refused.steps.first.error
      expect(error).to include("kind" => "permanent")
      expect(error["message"]).to include("#{most + 1} bytes of JSON; at most #{most} are allowed")
    end
  end

  it "takes contexts of 64 levels" do
    nested = ->(levels) { { "a" => Array.new(levels - 1).inject(1) { |inner, _| [inner] } } }
    expect(TaskerCore.submit("one", context: nested[64])).to eq(1)
    expect { TaskerCore.submit("one", context: nested[65]) }
      .to raise_error(TaskerCore::InvalidContext, /at most 64 levels are allowed/)
  end

  {
    { tags: ["t"] * 64 } => { tags: ["t"] * 65 }, { tags: ["t" * 128] } => { tags: ["t" * 129] },
    { initiator: "x" * 128 } => { initiator: "x" * 129 }, { source_system: "x" * 128 } => { source_system: "x" * 129 },
    { reason: "x" * 1_024 } => { reason: "x" * 1_025 }
  }.each do |fits, beyond|
    it "keeps #{fits.first[1].inspect[0, 12]}... as #{fits.keys.first}, and not one more" do
      expect(TaskerCore.submit("one", **fits)).to eq(1)
      expect { TaskerCore.submit("one", **beyond) }
        .to raise_error(TaskerCore::InvalidArgument, /#{fits.keys.first} is .*; allowed: at most \d+/)
    end
  end

  it "keeps who steers a task, and why, up to 128 and 1,024 bytes" do
    TaskerCore.submit("one")
    { actor: 128, reason: 1_024 }.each do |key, bytes|
      expect { TaskerCore.cancel(1, key => "x" * (bytes + 1)) }
        .to raise_error(TaskerCore::InvalidArgument, /#{key} is .*; allowed: at most #{bytes} bytes/)
    end
    expect(TaskerCore.cancel(1, actor: "a" * 128, reason: "r" * 1_024).state).to eq("cancelled")
  end

  it "makes at most 100,000 tasks at once" do
    expect { TaskerCore.submit_all("one", contexts: [{}] * 100_001) }
      .to raise_error(TaskerCore::InvalidArgument, /contexts is a list of 100001; allowed: at most 100000/)
    expect(count("tasker_tasks")).to eq(0)
  end

  it "finds no template by a name that none can have" do
    expect { TaskerCore.submit("x" * 129) }.to raise_error(TaskerCore::Error, /at most 128 bytes|no template/)
    expect { TaskerCore.submit("nul \0") }.to raise_error(TaskerCore::InvalidArgument, /name.*without U\+0000/)
    expect { TaskerCore.list(name: "nul \0") }.to raise_error(TaskerCore::InvalidArgument, /name.*without U\+0000/)
  end

  it "lets a worker name queues that there can be" do
    expect { TaskerCore::Worker.new(queues: ["q" * 64] * 1_000) }.not_to raise_error
    [["q" * 65], ["q"] * 1_001, [], ["nul \0"], ["\xFF"]].each do |queues|
      expect { TaskerCore::Worker.new(queues: queues) }
        .to raise_error(TaskerCore::ConfigurationError, /1 to 1000 names of 1 to 64 bytes/)
    end
  end
end
