# frozen_string_literal: true

require "json"
require_relative "../errors"

module TaskerCore
  module Jobs
    # What a job says of its task, closed with the keys of {Configuration#encryption_keys} where there are any: what is
    # encrypted in the database is not clear in the queue.
    module Seal
      # Bytes are authenticated too.
      CIPHER = "aes-256-gcm"

      class << self
        # @param values [Array] what JSON can say
        # @return [Array, Hash{String => String}] the values; where there are keys, which one and the text
        # @example
        #   Seal.close(["{}"]) # => ["{}"]
        def close(values)
          name, key = TaskerCore.configuration.encryption_keys.first
          return values unless key

          { "key" => name, "text" => encryptor(key).encrypt_and_sign(values) }
        end

        # @param sealed [Array, Hash{String => String}] what {close} returned
        # @return [Array]
        # @raise [DecryptionError] the key is not there, or another one
        # @example
        #   Seal.open(["{}"]) # => ["{}"]
        def open(sealed)
          return sealed unless sealed.is_a?(Hash)

          name = sealed.fetch("key")
          keys = TaskerCore.configuration.encryption_keys
          key = keys.fetch(name) { refuse(name, "is not among the encryption keys") }
          encryptor(key).decrypt_and_verify(sealed.fetch("text"))
        rescue ActiveSupport::MessageEncryptor::InvalidMessage
          refuse(name, "did not encrypt it")
        end

        private

        def encryptor(key)
          require "active_support/message_encryptor"
          ActiveSupport::MessageEncryptor.new(key.unpack1("m"), cipher: CIPHER, serializer: JSON)
        end

        def refuse(name, problem)
          raise DecryptionError.new("the job of a step cannot be read: the key #{name.inspect} #{problem}",
                                    details: { "key" => name })
        end
      end
    end
  end
end
