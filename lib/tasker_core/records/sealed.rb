# frozen_string_literal: true

module TaskerCore
  module Records
    # Attributes that are encrypted in the database where there are keys: their readers decrypt them with the keys of
    # {TaskerCore.configuration}, through {TaskerCore.client}. `attributes` has them as they stand in the database.
    module Sealed
      private

      # Defines the readers.
      #
      # @param kinds [Hash{Symbol => String}] attribute => what it was encrypted as
      def opens(**kinds)
        kinds.each do |attribute, kind|
          define_method(attribute) do
            TaskerCore.client.opened(self[attribute], kind: kind, what: "#{attribute} of #{self.class.name} #{id}")
          end
        end
      end
    end
  end
end
