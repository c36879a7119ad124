# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::Suggestion do
  it "finds the nearest known word" do
    expect(described_class.nearest("charge_crad", %i[ship charge_card])).to eq("charge_card")
  end

  it "finds none where nothing is near" do
    expect(described_class.nearest("x", %w[validate_order ship])).to be_nil
    expect(described_class.nearest("x", [])).to be_nil
  end

  it "ends a message, or adds nothing to it" do
    expect(described_class.sentence("shp", %w[ship])).to eq('; did you mean "ship"?')
    expect(described_class.sentence("order", %w[ship])).to eq("")
  end

  it "does not fail on a word that is not UTF-8" do
    expect(described_class.nearest("sh\xFFip", %w[ship])).to eq("ship")
    expect(described_class.nearest("shp".encode(Encoding::UTF_16), %w[ship])).to eq("ship")
  end

  it "compares a bounded number of words" do
    words = Array.new(described_class::MAX_WORDS) { |i| "w#{i}" } + ["charge_card"]

    expect(described_class.nearest("charge_crad", words)).to be_nil
  end

  it "compares no long words, which would take long" do
    long = "x" * (described_class::MAX_LENGTH + 1)
    expect([described_class.nearest(long, [long]), described_class.nearest("x", [long])]).to eq([nil, nil])
  end
end
