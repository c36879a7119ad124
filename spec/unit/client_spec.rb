# frozen_string_literal: true

RSpec.describe TaskerCore::Client do
  # Nothing listens there: whoever gets as far as the database fails in another way.
  subject(:client) do
    described_class.new(TaskerCore::Configuration.new.with { |c| c.database_url = "postgres://127.0.0.1:1/none" })
  end

  def refusal(key)
    raise_error(TaskerCore::InvalidArgument, /\A#{key} is /)
  end

  %i[status result cancel wait explain].each do |method|
    [0, -1, "1", nil, 2**63].each do |id|
      it "refuses #{id.inspect} as the id for #{method} before it asks the database" do
        expect { client.public_send(method, id) }.to refusal("task_id")
      end
    end
  end

  it "refuses other bad arguments before it asks the database" do
    expect { client.cancel(1, actor: 5) }.to refusal("actor")
    expect { client.cancel(1, reason: "") }.to refusal("reason")
    expect { client.explain(1, step: 5) }.to refusal("step")
    expect { client.wait(1, timeout: -1) }.to refusal("timeout")
    expect { client.list(limit: 0) }.to refusal("limit")
    expect { client.list(before: -1) }.to refusal("before")
    expect { client.list(state: "") }.to refusal("state")
    expect { client.submit("") }.to refusal("name")
    expect { client.submit("x", context: nil) }.to raise_error(TaskerCore::InvalidContext, /\Acontext is of class Nil/)
  end

  it "asks nothing of the database when there is nothing to submit" do
    expect(client.submit_all("x", contexts: [])).to eq([])
  end

  it "does not show the URL" do
    expect(client.inspect).to eq("#<TaskerCore::Client not connected>")
  end

  it "may be closed without having been used" do
    expect(client.close).to be_nil
  end
end
