# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::Http::Answer do
  def answer(status, body: nil, **headers)
    headers = headers.transform_keys { |key| key.to_s.tr("_", "-") }
    described_class.new(status: status, headers: headers, body: body, method: :post,
                        url: "https://mara:secret@bank.example/v1/charges?token=secret")
  end

  def failure(status, **options)
    answer(status, **options).failure
  end

  it "is fine from 200 to 226" do
    expect([200, 201, 226].map { |status| failure(status) }).to eq([nil, nil, nil])
  end

  it "is permanent where the same request would get the same answer" do
    codes = [400, 401, 403, 404, 422].map { |status| failure(status) }

    expect(codes).to all(be_a(TaskerCore::PermanentError))
    expect(codes.map(&:error_code)).to eq(%w[HTTP_400 HTTP_401 HTTP_403 HTTP_404 HTTP_422])
  end

  it "is retryable otherwise" do
    failures = [100, 227, 302, 409, 429, 500, 503].map { |status| failure(status) }

    expect(failures).to all(be_a(TaskerCore::RetryableError))
    expect(failures.map(&:retry_after)).to all(be_nil)
  end

  it "says when the next attempt may start, in seconds or at a time" do
    at = Time.now + 90
    date = at.httpdate

    expect(failure(429, Retry_After: "7").retry_after_seconds).to eq(7.0)
    expect(failure(503, retry_after: date).retry_after_seconds(now: at - 90)).to be_between(89, 90)
    expect(failure(503, retry_after: "soon").retry_after_seconds).to be_nil
  end

  it "keeps what is needed to understand a failure, and no secrets of the request" do
    error = failure(500, body: "x" * 2_000)

    expect(error.message).to eq("POST https://bank.example:443/v1/charges was answered with HTTP 500")
    expect(error.context)
      .to eq("status" => 500, "url" => "https://bank.example:443/v1/charges", "body" => "x" * described_class::MAX_BODY)
  end

  it "keeps a body that is no text" do
    expect(failure(404, body: (+"\xff\x00caf\xc3\xa9").b).context["body"]).to eq("\u{fffd}\u0000café")
  end

  it "has JSON as its results where it says so" do
    expect(answer(200, body: '{"id":7}', Content_Type: "application/json; charset=utf-8").results)
      .to eq("status" => 200, "body" => { "id" => 7 })
    expect(answer(200, body: '{"id":7}', Content_Type: "application/problem+json").results["body"]).to eq("id" => 7)
    expect(answer(200, body: "{no", Content_Type: "application/json").results["body"]).to eq("{no")
    expect(answer(200, body: '{"id":7}', Content_Type: "text/plain").results["body"]).to eq('{"id":7}')
  end

  it "is found in what looks like a response" do
    like = Struct.new(:status, :headers, :body)
    others = [like.new("open", {}, ""), { status: 404 }, nil, 404]

    expect(described_class.of(like.new(404, {}, "")).failure.message).to eq("the answer is HTTP 404")
    expect(others.map { |object| described_class.of(object) }).to all(be_nil)
  end
end
