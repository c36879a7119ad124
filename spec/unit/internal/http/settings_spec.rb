# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::Http::Settings do
  it "has defaults" do
    settings = described_class.new(nil)

    expect(settings).to have_attributes(
      url: nil, params: {}, headers: described_class::HEADERS, ssl: {}, timeouts: { timeout: 30, open_timeout: 5 },
      idempotency_header: "Idempotency-Key", circuit_breaker: have_attributes(failures: 5, open_seconds: 30)
    )
  end

  it "takes what the config says, and leaves what is the handler's own" do
    settings = described_class.new("url" => "https://bank.example", "type" => "api", "merchant" => 7,
                                   ssl: { "verify" => false },
                                   "headers" => { "Accept" => "text/csv", "X-Shop" => 7 }, "timeout_seconds" => 1.5,
                                   "circuit_breaker" => { "open_seconds" => 2 })

    expect(settings).to have_attributes(
      url: "https://bank.example", ssl: { verify: false }, timeouts: { timeout: 1.5, open_timeout: 5 },
      headers: { "Content-Type" => "application/json", "Accept" => "text/csv", "X-Shop" => "7" },
      circuit_breaker: have_attributes(failures: 5, open_seconds: 2)
    )
  end

  it "has neither a key nor a circuit breaker where they are turned off" do
    expect(described_class.new("idempotency_header" => false, "circuit_breaker" => false))
      .to have_attributes(idempotency_header: nil, circuit_breaker: nil)
  end

  {
    { "url" => 7 } => /url .* is 7, allowed: String/,
    { "url" => "not a url" } => %r{url .* is "not a url", allowed: a URL that begins with http:// or https://},
    { "url" => "bank.example/v1" } => /url .* is "bank.example/,
    { "url" => "ftp://bank.example" } => /url .* is "ftp:/,
    { "url" => "https:///v1" } => /url .* is "https:/,
    { "url" => "https://shop:s3 cret@bank.example" } => %r{url .* is "https://shop:\*\*\*@bank.example"},
    { "headers" => [] } => /headers .* is \[\], allowed: Hash/,
    { "timeout_seconds" => 0 } => /timeout_seconds .* is 0, allowed: a number from 0.001 to 86400/,
    { "open_timeout_seconds" => "5" } => /open_timeout_seconds .* is "5"/,
    { "idempotency_header" => true } => /idempotency_header .* is true, allowed: String/,
    { "circuit_breaker" => { "failures" => 0 } } => /failures .* is 0, allowed: a number from 1 to 1000/,
    { "circuit_breaker" => { "failure" => 3 } } => /circuit_breaker .*allowed: failures and open_seconds/
  }.each do |config, message|
    it "refuses #{config}" do
      expect { described_class.new(config) }.to raise_error(TaskerCore::PermanentError, message)
    end
  end

  it "has a code for what it refuses" do
    expect { described_class.new("url" => 7) }
      .to raise_error(an_object_having_attributes(class: TaskerCore::PermanentError, error_code: "INVALID_CONFIG"))
  end
end
