# frozen_string_literal: true

module TaskerCore
  module Internal
    # Looks programs up in PATH.
    module Executable
      # Folders with system programs, which an ordinary user's PATH often lacks.
      SYSTEM_FOLDERS = %w[/usr/sbin /usr/bin /sbin /bin].freeze

      # @param name [String] a program's name without a folder
      # @param env [Hash{String => String}] where PATH is taken from
      # @return [String, nil] the program's absolute path, nil when there is none
      # @example
      #   Executable.find("psql") # => "/usr/bin/psql"
      def self.find(name, env: ENV)
        folders = env.fetch("PATH", "").split(File::PATH_SEPARATOR) | SYSTEM_FOLDERS
        folders.map { |folder| File.join(folder, name) }.find { |path| File.file?(path) && File.executable?(path) }
      end
    end
  end
end
