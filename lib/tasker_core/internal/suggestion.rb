# frozen_string_literal: true

require "did_you_mean"

module TaskerCore
  module Internal
    # "Did you mean": the known word that is nearest to one that is not known.
    module Suggestion
      # Words beyond this number are not compared; comparing costs their number times their length.
      MAX_WORDS = 2_000
      # Longer words are not compared, in characters.
      MAX_LENGTH = 64

      module_function

      # @param word [#to_s]
      # @param known [Enumerable<#to_s>]
      # @return [String, nil]
      # @example
      #   Suggestion.nearest("charge_crad", %w[charge_card ship]) # => "charge_card"
      def nearest(word, known)
        word = word.to_s.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub
        return if word.length > MAX_LENGTH

        dictionary = known.first(MAX_WORDS).map(&:to_s).reject { |other| other.length > MAX_LENGTH }
        DidYouMean::SpellChecker.new(dictionary: dictionary).correct(word).first
      end

      # @param word [#to_s]
      # @param known [Enumerable<#to_s>]
      # @return [String] the end of a message, "" where no word is near
      # @example
      #   Suggestion.sentence("shp", %w[ship]) # => "; did you mean \"ship\"?"
      def sentence(word, known)
        nearest = nearest(word, known)
        nearest ? "; did you mean #{nearest.inspect}?" : ""
      end
    end
  end
end
