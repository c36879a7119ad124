# frozen_string_literal: true

module TaskerCore
  module Internal
    # Keys for what is encrypted at rest: name => 32 bytes in base64. No message shows a key.
    module EncryptionKeys
      # Variable of the environment with keys, NAME:KEY,NAME:KEY.
      VARIABLE = "TASKER_ENCRYPTION_KEYS"
      # What a name is.
      NAME = /\A[A-Za-z0-9._-]{1,64}\z/.freeze
      # What a key is: 32 bytes in base64. The last letter of 43 has two bits to spare.
      KEY = %r{\A[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\z}.freeze
      # Most keys.
      MAX_KEYS = 100
      # What is allowed, in words.
      ALLOWED = "at most #{MAX_KEYS} names of 1 to 64 letters, digits, \"-\", \"_\" and \".\", each with 32 random " \
                "bytes in base64, as `openssl rand -base64 32` prints them".freeze

      module_function

      # @param text [String] as the variable holds it
      # @return [Hash{String => String}] frozen, in their order; what is no key stays to be refused
      # @example
      #   EncryptionKeys.parse("2026:#{key}") # => { "2026" => key }
      def parse(text)
        text.split(",", -1).to_h do |pair|
          name, key = pair.strip.split(":", 2)
          [name.to_s, key]
        end.freeze
      end

      # @param keys [Object] as they were given
      # @return [Object] with names as text, frozen, where that is possible
      def copy(keys)
        return keys unless keys.is_a?(Hash)

        keys.to_h { |name, key| [name.to_s.dup.freeze, key.is_a?(String) ? key.dup.freeze : key] }.freeze
      end

      # @param keys [Object]
      # @return [String, nil] what is seen that is not allowed
      # @example
      #   EncryptionKeys.problem({ "2026" => "secret" }) # => "a key of the name \"2026\" with 6 characters"
      def problem(keys)
        return "a #{keys.class}" unless keys.is_a?(Hash)
        return "#{keys.size} keys" if keys.size > MAX_KEYS

        name, key = keys.find { |pair| !fits?(*pair) }
        return unless name

        name.match?(NAME) ? "a key of the name #{name.inspect} with #{size(key)}" : "a key with a name of #{size(name)}"
      end

      # @param keys [Hash{String => String}]
      # @return [Array<String>] as the native library takes them
      def list(keys)
        keys.map { |name, key| "#{name}:#{key}" }
      end

      # @api private
      def fits?(name, key)
        name.match?(NAME) && key.is_a?(String) && key.match?(KEY)
      end

      # @api private
      def size(text)
        text.is_a?(String) ? "#{text.size} characters" : "a #{text.class}"
      end
    end
  end
end
