# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::Command do
  it "gives back what a program writes to both of its streams" do
    expect(described_class.run(["sh", "-c", "echo out; echo err >&2"])).to eq("out\nerr\n")
  end

  it "gives a program nothing to read" do
    expect(described_class.run(["cat"])).to eq("")
  end

  it "raises what a failing program wrote" do
    expect { described_class.run(["sh", "-c", "echo no space left; exit 3"]) }
      .to raise_error(described_class::Failed, "no space left")
  end

  it "raises when there is no such program" do
    expect { described_class.run(["/nowhere/pg_ctl"]) }.to raise_error(described_class::Failed, /No such file/)
  end

  it "hides the caller's Postgres variables and language" do
    ENV["PGHOST"] = "elsewhere"
    expect(described_class.run(["sh", "-c", "echo $PGHOST/$LC_ALL"])).to eq("/C\n")
  ensure
    ENV.delete("PGHOST")
  end
end
