# frozen_string_literal: true

module TaskerCore
  module Testing
    class Inline
      # Messages of Postgres' protocol, version 3. Source: PostgreSQL 15 manual, "Frontend/Backend Protocol".
      module Wire
        # A message: the letter of its type, and what follows its length.
        Message = Struct.new(:type, :payload) do
          # @return [String] as it is sent
          def to_s
            [type, payload.bytesize + Wire::LENGTH].pack("aN") + payload
          end
        end

        # Bytes of a length, which it counts itself.
        LENGTH = 4
        # Largest startup packet that a server takes.
        LARGEST_STARTUP = 10_000

        module_function

        # @param io [IO] of which no more is read than the message
        # @return [Message, nil] nil: the other side has closed
        def read(io)
          head = take(io, 1 + LENGTH) or return
          type, length = head.unpack("aN")
          payload = take(io, length - LENGTH)
          payload && Message.new(type, payload)
        end

        # @param io [IO]
        # @return [Array(Integer, String), nil] what is asked for, and its parameters
        def read_startup(io)
          length, code = take(io, 2 * LENGTH)&.unpack("NN")
          return unless length&.between?(2 * LENGTH, LARGEST_STARTUP)

          payload = take(io, length - (2 * LENGTH))
          payload && [code, payload]
        end

        # @param text [String]
        # @return [Message] one that runs statements which have no parameters
        def query(text)
          Message.new("Q", "#{text}\0")
        end

        # @param message [Message] a row
        # @return [Array<String, nil>] its values as text
        def values(message)
          count, rest = message.payload.unpack("na*")
          Array.new(count) do
            length, rest = rest.unpack("l>a*")
            next if length.negative?

            value = rest.byteslice(0, length)
            rest = rest.byteslice(length..)
            value.force_encoding(Encoding::UTF_8)
          end
        end

        # @param state [String] five letters
        # @param text [String]
        # @return [Message] a failure that ends the connection
        def failure(state, text)
          Message.new("E", "SFATAL\0VFATAL\0C#{state}\0M#{text}\0\0")
        end

        # @api private
        def take(io, bytes)
          taken = +"".b
          taken << io.readpartial(bytes - taken.bytesize) while taken.bytesize < bytes
          taken
        rescue IOError, SystemCallError
          nil
        end
      end
    end
  end
end
