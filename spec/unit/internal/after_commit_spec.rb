# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::AfterCommit do
  it "needs Active Record" do
    hide_const("ActiveRecord::Base")

    expect { TaskerCore.submit("order", after_commit: true) }
      .to raise_error(TaskerCore::ConfigurationError, /after_commit is for transactions of Active Record, which is not/)
  end

  it "goes with no other connection, and is true or false" do
    expect { TaskerCore.submit_all("order", contexts: [{}], after_commit: true, connection: Object.new) }
      .to raise_error(TaskerCore::InvalidArgument, "connection is Object, allowed: none beside after_commit")
    expect { TaskerCore.submit("order", after_commit: 1) }
      .to raise_error(TaskerCore::InvalidArgument, "after_commit is 1, allowed: true or false")
  end
end
