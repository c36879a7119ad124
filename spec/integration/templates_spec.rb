# frozen_string_literal: true

RSpec.describe "Templates", :database do
  include Workflows

  let(:folder) { File.expand_path("../fixtures/templates", __dir__) }

  def fixture(name)
    File.join(folder, name)
  end

  before do
    %w[LoadInvoice FetchPayments FetchCredits PostLedger].each do |name|
      handler("Billing::#{name}") { |_task, _sequence, step| step.config }
    end
  end

  it "run from a YAML file in the form of the Rails engine" do
    TaskerCore.load_templates(fixture("reconcile_invoice.yaml"))
    result = run("reconcile_invoice", namespace: "billing", context: { invoice_id: 7 })

    expect(result).to be_complete
    expect(result.steps.map(&:name)).to eq(%w[load_invoice fetch_payments fetch_credits post_ledger])
    expect(result.results_of("fetch_payments")).to include("url" => "https://pay.example/v1", "retry_delay" => 2.0)
  end

  it "say the same from YAML and from Ruby" do
    from_yaml = TaskerCore::TaskTemplate.load_file(fixture("same.yaml"), environment: nil)
    from_ruby = TaskerCore.define("same", namespace: "billing", version: "1.2.0", description: "Both ways",
                                          schema: { type: "object", required: ["invoice_id"] }, queue: "money") do
      step "load", handler: Billing::LoadInvoice, description: "Reads it"
      step "pay", handler: "Billing::FetchPayments", depends_on: "load", retry_limit: 5, timeout: 30, queue: "slow",
                  retry: { backoff: :linear, base_seconds: 2, max_seconds: 60, jitter: 0 },
                  config: { url: "https://pay.example/v1", limits: [1, 2] }
      step "post", handler: "Billing::PostLedger", depends_on: %w[load pay], retryable: false, skippable: true,
                   dependent_system: "ledger"
    end

    expect(from_ruby.definition).to eq(from_yaml.definition)
    expect(from_ruby).to eq(from_yaml)
    expect(from_ruby.json).to eq(from_yaml.json)
  end

  it "take what the environment says" do
    TaskerCore.configure { |c| c.environment = "test" }
    TaskerCore.load_templates(fixture("reconcile_invoice.yaml"))

    expect(run("reconcile_invoice", namespace: "billing", context: { invoice_id: 7 }).results_of("fetch_payments"))
      .to include("url" => "http://localhost:9999/v1", "retry_delay" => 2.0)
  ensure
    TaskerCore.configure { |c| c.environment = TaskerCore::Configuration.new.environment }
  end

  it "are refused when they change under a version that has tasks, and a new version is accepted" do
    TaskerCore.load_templates(fixture("reconcile_invoice.yaml"))
    run("reconcile_invoice", namespace: "billing", context: { invoice_id: 7 })
    TaskerCore.registry.clear
    definition = { namespace: "billing", version: "1.2.0" }
    TaskerCore.define("reconcile_invoice", **definition) { step "only", handler: "Billing::PostLedger" }

    expect { working { nil } }.to raise_error(TaskerCore::TemplateConflict, %r{billing/reconcile_invoice.*1\.2\.0})
    TaskerCore.registry.clear
    definition[:version] = "1.3.0"
    TaskerCore.define("reconcile_invoice", **definition) { step "only", handler: "Billing::PostLedger" }
    expect(run("reconcile_invoice", namespace: "billing")).to be_complete
  end

  it "run although this process has loaded another version since" do
    TaskerCore.define("flow", version: "1.0.0") { step "old", handler: "Billing::PostLedger" }
    task_id = TaskerCore.submit("flow")
    TaskerCore.registry.clear
    TaskerCore.define("flow", version: "2.0.0") { step "new", handler: "Billing::PostLedger" }
    working { TaskerCore.wait(task_id, timeout: 30) }

    expect(TaskerCore.result(task_id).steps.map { |step| [step.name, step.state] }).to eq([%w[old complete]])
  end
end
