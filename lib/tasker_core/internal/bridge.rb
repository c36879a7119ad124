# frozen_string_literal: true

module TaskerCore
  # All that users of the library must not call: it may change with any version.
  module Internal
    # Finds and loads the native extension, which defines `TaskerCore::Internal::Bridge`.
    module Extension
      # A gem that was compiled beforehand holds one extension for each Ruby version in a folder of
      # its own; a gem that was compiled on this machine holds one, without such a folder.
      PATHS = ["tasker_core/#{RUBY_VERSION[/\A\d+\.\d+/]}/tasker_core", "tasker_core/tasker_core"].freeze

      class << self
        # Loads the extension of this Ruby.
        #
        # @param paths [Array<String>] what to require, the first one that exists wins
        # @return [String] the path that was required
        # @raise [LoadError] there is none, or it cannot be loaded; the message says what to do
        # @example
        #   TaskerCore::Internal::Extension.load
        def load(paths = PATHS)
          paths.find { |path| available?(path) } || raise(LoadError, missing(paths))
        end

        private

        def available?(path)
          require path
          true
        rescue LoadError => e
          raise LoadError, broken(e) unless e.path == path

          false
        end

        def missing(paths)
          "the native extension of tasker_core for Ruby #{RUBY_VERSION} on #{RUBY_PLATFORM} is not there " \
            "(looked for #{paths.join(" and ")}); in a checkout run `rake compile`, " \
            "for an installed gem `gem pristine tasker_core`"
        end

        def broken(error)
          "the native extension of tasker_core cannot be loaded into Ruby #{RUBY_VERSION} on #{RUBY_PLATFORM}; " \
            "compile it again with `rake clobber compile` (in a checkout) or `gem pristine tasker_core` " \
            "(an installed gem): #{error.message}"
        end
      end
    end
  end
end

TaskerCore::Internal::Extension.load
