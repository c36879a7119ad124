# frozen_string_literal: true

require_relative "../../chaos/consumer"

RSpec.describe Chaos::Consumer do
  { [[1, 2, 5], [1, 2, 5]] => [],
    [[1, 5], [1, 2, 5]] => ["transition 2 was not taken from the feed"],
    [[1, 2, 4, 5], [1, 2, 5]] => ["event 4 was taken from the feed, and is no transition"],
    [[1, 2, 2, 5], [1, 2, 5]] => ["event 2 was taken 2 times"],
    [[1, 5, 2], [1, 2, 5]] => ["event 2 was taken after event 5"] }.each do |(taken, written), found|
    it "finds #{found.empty? ? "nothing" : found.join} where #{taken} of #{written} were taken" do
      expect(described_class.compare(taken, written)).to eq(found)
    end
  end
end
