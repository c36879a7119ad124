# frozen_string_literal: true

module TaskerCore
  module Internal
    # Database URLs as they may be shown: without the password. Requires nothing, so that the command line can hide
    # what it was called with before it loads anything else.
    module MaskedUrl
      # A password may hold "/" and "@" itself, so it ends with the last "@".
      PASSWORD = %r{(://[^:/@]*):.*@}m.freeze
      # A password as a parameter: `password=`, `sslpassword=`.
      PARAMETER = /(password=)[^&\s]*/i.freeze

      module_function

      # @param text [String] a URL, or a text that ends with one
      # @return [String] with `***` in the password's place
      # @example
      #   MaskedUrl.of("postgres://shop:s3cret@db/shop") # => "postgres://shop:***@db/shop"
      def of(text)
        text.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub.sub(PASSWORD, '\1:***@').gsub(PARAMETER,
                                                                                                             '\1***')
      end

      # Hides passwords from `ps`, which shows every user how a program was called.
      #
      # @param program [String]
      # @param words [Array<String>] its arguments
      # @return [void]
      # @example
      #   MaskedUrl.hide_from_ps("tasker", ARGV)
      def hide_from_ps(program, words)
        shown = words.map { |word| of(word) }
        Process.setproctitle([program, *shown].join(" ")) unless shown == words
      end
    end
  end
end
