# frozen_string_literal: true

require "erb"

module TaskerCore
  module Internal
    # The schemas in which a connection looks for tables and functions, as a parameter of its URL.
    module SearchPath
      # @param path [String] as Postgres shows it, names in quotes where they need them
      # @return [String]
      # @example
      #   SearchPath.parameter("shop, public") # => "options=-c%20search_path%3Dshop%2C%5C%20public"
      def self.parameter(path)
        option = "-c search_path=#{path.gsub(/[\\ ]/) { |sign| "\\#{sign}" }}"
        "options=#{ERB::Util.url_encode(option)}"
      end
    end
  end
end
