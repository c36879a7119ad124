# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::MaskedUrl do
  {
    "postgres://shop:s3cret@db:5432/shop" => "postgres://shop:***@db:5432/shop",
    "postgres://:s3@cr/et@db/shop" => "postgres://:***@db/shop",
    "--database-url=postgresql://shop:s3cret@db" => "--database-url=postgresql://shop:***@db",
    "postgres://db/shop?password=s3cret&sslpassword=x&sslmode=require" =>
      "postgres://db/shop?password=***&sslpassword=***&sslmode=require",
    "postgres://shop@db/shop" => "postgres://shop@db/shop",
    "postgres:///shop" => "postgres:///shop",
    "status" => "status",
    "postgres://a:\xFF@b" => "postgres://a:***@b"
  }.each do |url, shown|
    it "shows #{url.inspect} as #{shown.inspect}" do
      expect(described_class.of(url)).to eq(shown)
    end
  end

  it "hides passwords from ps, and leaves other words as they are" do
    read = "puts File.read(\"/proc/self/cmdline\")"
    script = "TaskerCore::Internal::MaskedUrl.hide_from_ps(\"program\", ARGV); #{read}"
    library = File.expand_path("../../../lib/tasker_core/internal/masked_url", __dir__)
    shown = ->(*words) { IO.popen([RbConfig.ruby, "-r", library, "-e", script, *words], &:read) }
    expect(shown["status", "postgres://a:s3cret@b"]).to start_with("program status postgres://a:***@b")
    expect(shown["status", "7"]).to include("ruby", "status\0007")
  end
end
