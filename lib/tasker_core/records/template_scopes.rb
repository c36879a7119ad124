# frozen_string_literal: true

module TaskerCore
  module Records
    # What all models but {Edge} can be asked for. Every method brings a relation, and can follow any other.
    module TemplateScopes
      # @param name [String] of the template
      # @param version [String, nil] Default nil: of any version
      # @return [ActiveRecord::Relation]
      # @raise [InvalidArgument]
      # @example
      #   Task.of_template("order_fulfilment", version: "1.0.0").count
      def of_template(name, version: nil)
        found = where(template: Internal::Check.text(name, "name"))
        version ? found.where(version: Internal::Check.text(version, "version")) : found
      end

      # @param name [String]
      # @return [ActiveRecord::Relation]
      # @raise [InvalidArgument]
      # @example
      #   Task.in_namespace("shop").unfinished
      def in_namespace(name)
        where(namespace: Internal::Check.text(name, "namespace"))
      end
    end
  end
end
