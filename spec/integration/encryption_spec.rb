# frozen_string_literal: true

require "json"
require "openssl"

# Encryption at rest as an application meets it; the tables are read with SQL, and a value is opened without the gem.
RSpec.describe "Encryption at rest", :database do
  include Workflows
  include CommandLine

  old, new = %w[o n].map { |letter| [letter * 32].pack("m0") }
  secret = "4111-1111-1111-1111"

  def use_keys(keys)
    TaskerCore.client.close
    TaskerCore.configure { |c| c.encryption_keys = keys }
  end

  after { use_keys({}) }

  # Every row of the engine's tables, as text.
  def raw
    tables = column("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'tasker%'")
    tables.flat_map { |table| column("SELECT t::text FROM #{table} t") }.join("\n")
  end

  def column(query)
    sql(query).flat_map(&:values)
  end

  # What the documentation says of a value, in other words: HKDF-Expand, then AES-256-GCM.
  def opened(text, content, key)
    data = JSON.parse(text).fetch("tasker_encrypted").split(":").last.unpack1("m0")
    derived = expanded(key, "tasker_core encryption 1 #{content} ".b + data[0, 24])
    cipher = OpenSSL::Cipher.new("aes-256-gcm").decrypt
    cipher.key = derived[0, 32]
    cipher.iv = derived[32, 12]
    cipher.auth_tag = data[-16..]
    cipher.update(data[24...-16]) + cipher.final
  end

  def expanded(key, info)
    first = OpenSSL::HMAC.digest("SHA256", key, "#{info}\x01")
    first + OpenSSL::HMAC.digest("SHA256", key, "#{first}#{info}\x02")
  end

  it "keeps contexts, results and failures from who reads the tables" do
    use_keys("new" => new)
    define_one do |task, _, step|
      raise TaskerCore::StepHandler::RetryableError, "declined: #{secret}" if step.attempts.zero?

      { card: task.context.fetch("card") }
    end
    result = run("one", context: { card: secret })

    expect(result.results_of("only")).to eq("card" => secret)
    expect(TaskerCore.explain(result.task_id).to_s).to include("complete")
    expect(raw).not_to include(secret)
    expect(raw.scan("tasker_encrypted").size).to eq(3)
    context = column("SELECT context::text FROM tasker_tasks").first
    expect(opened(context, "context", "n" * 32)).to eq(%({"card":"#{secret}"}))
    results = column("SELECT results::text FROM tasker_workflow_steps").first
    expect(opened(results, "results", "n" * 32)).to eq(%({"card":"#{secret}"}))
  end

  # Each value says by its name where it was given; what is found in a table, and how many values are sealed there.
  def found
    tables = column("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'tasker%'")
    tables.to_h do |table|
      rows = column("SELECT t::text FROM #{table} t").join("\n")
      [table.delete_prefix("tasker_"), [rows.scan(/OPEN_\w+|SECRET_\w+/).uniq.sort, rows.scan("tasker_encrypted").size]]
    end
  end

  def handle_everything
    handler("Asks") { |_, _, step| { paid: step.wait_for("paid", data: { a: "SECRET_data" }) } }
    handler("Plans") do |_, _, step|
      step.checkpoint(cursor: "SECRET_cursor", data: { a: "SECRET_checkpoint" })
      step.attach("OPEN_artifact", json: { a: "SECRET_artifact" })
      step.add("extra", like: "part", inputs: { a: "SECRET_inputs" })
      { list: %w[SECRET_first SECRET_second] }
    end
    handler("Reads") { |_, _, step| { read: step.inputs || step.item } }
    handler("Fails") { raise TaskerCore::PermanentError.new("SECRET_message", context: { a: "SECRET_failure" }) }
  end

  def define_everything
    handle_everything
    TaskerCore.define("everything") do
      step "asks", handler: "Asks"
      step "plans", handler: "Plans", depends_on: "asks"
      step "part", handler: "Reads", dynamic: true
      step "items", handler: "Reads", depends_on: "plans", map: { over: "results.plans.list" }
      step "fails", handler: "Fails", depends_on: "items"
    end
  end

  it "keeps everything that applications and handlers say from who reads the tables, and says what stays in the open" do
    use_keys("new" => new)
    define_everything
    id = TaskerCore.submit("everything", context: { a: "SECRET_context" }, correlation_key: "OPEN_correlation",
                                         idempotency_key: "SECRET_key", tags: ["OPEN_tag"], reason: "OPEN_reason")
    TaskerCore.signal(id, "paid", { a: "SECRET_signal" }, actor: "OPEN_actor", idempotency_key: "OPEN_signal_key")
    expect(working { TaskerCore.wait(id, timeout: 30) }.state).to eq("error")

    expect(TaskerCore.items(id, "items").map(&:item)).to eq(%w[SECRET_first SECRET_second])
    expect(TaskerCore.result(id).results_of("extra")).to eq("read" => { "a" => "SECRET_inputs" })
    open, sealed = found.then { |tables| [tables.transform_values(&:first), tables.transform_values(&:last)] }
    expect(open.reject { |_, words| words.empty? }).to eq(
      "artifacts" => %w[OPEN_artifact], "signals" => %w[OPEN_actor OPEN_signal_key],
      "task_correlations" => %w[OPEN_correlation], "tasks" => %w[OPEN_reason OPEN_tag]
    )
    expect(sealed.reject { |_, values| values.zero? }).to eq(
      "added_steps" => 3, "artifacts" => 1, "signals" => 1, "step_waits" => 2, "tasks" => 1,
      "workflow_step_transitions" => 1, "workflow_steps" => 6
    )
  end

  it "reads what was written with earlier keys, and names a key that is missing" do
    define_one { |task| task.context.slice("card") }
    use_keys("old" => old)
    first = run("one", context: { card: secret })
    use_keys("new" => new, "old" => old)
    expect(TaskerCore.result(first.task_id).results_of("only")).to eq("card" => secret)
    second = run("one", context: { card: secret })

    use_keys("old" => old)
    expect(TaskerCore.result(first.task_id).results_of("only")).to eq("card" => secret)
    expect { TaskerCore.result(second.task_id) }.to raise_error(TaskerCore::DecryptionError) { |error|
      expect(error.message).to include("the step \"only\" of task 2", "the key \"new\"", "(old)")
      expect(error.details).to include("key" => "new")
      expect(error).not_to be_retryable
    }
  end

  it "is there for the command line too, from the environment" do
    define_one { |task| task.context.slice("card") }
    use_keys("new" => new)
    id = run("one", context: { card: secret }).task_id
    command = ["result", id.to_s]
    with = ->(keys) { { "DATABASE_URL" => database_url, "TASKER_ENCRYPTION_KEYS" => keys } }

    expect(tasker(*command, env: with["new:#{new}"]).out).to include(secret)
    without = tasker(*command)
    expect(without.status).to eq(2)
    expect(without.err).to include("encrypted with the key \"new\"", "(there are none)")
    expect(tasker("status", id.to_s).status).to eq(0)
    wrong = tasker(*command, env: with["new:#{new[0..-3]}"])
    expect(wrong.err).to include("TASKER_ENCRYPTION_KEYS is a key of the name \"new\"", "openssl rand -base64 32")
    expect(wrong.err).not_to include(new[0..-3])
  end

  it "blocks a step that a worker cannot read, and the doctor says which key is missing" do
    define_one { |task| task.context.slice("card") }
    use_keys("old" => old)
    id = TaskerCore.submit("one", context: { card: secret })
    use_keys({})
    warning = TaskerCore.client.doctor["warnings"].find { |one| one["name"] == "missing_key" }
    expect(warning["facts"]).to eq("key" => "old", "tasks" => 1)
    working { Waiting.wait_until("it is blocked", within: 30) { TaskerCore.status(id).state == "blocked" } }
    summary = TaskerCore.explain(id)["steps"].first["summary"]
    expect(summary).to include("encrypted with the key \"old\"", "(there are none)")
  end
end
