# frozen_string_literal: true

require "digest"
require "fileutils"

module Examples
  # The demo's own embedded Postgres: started for the demo and stopped after it. In the demo's own folder each demo
  # begins with an empty database, so that no older one is in its way, and leaves what it did there to be looked at.
  class DemoDatabase
    SIGNALS = %w[INT TERM HUP].freeze
    ROOT = File.expand_path("../..", __dir__)

    # Another demo runs in this folder.
    class Busy < TaskerCore::Error; end

    # @return [TaskerCore::Internal::EmbeddedPostgres]
    attr_reader :postgres

    # @param env [Hash{String => String}] TASKER_DATA_DIR names another folder than the demo's own. Default: ENV.
    def initialize(env: ENV)
      chosen = env["TASKER_DATA_DIR"].to_s
      @own = chosen.empty?
      @postgres = TaskerCore::Internal::EmbeddedPostgres.new(data_folder: @own ? own_folder : chosen)
    end

    # Starts the server for the time of the block. One that ran before in a folder that somebody chose is left running.
    #
    # @yieldparam url [String]
    # @raise [Busy] another demo has started it
    def open
      alone do
        outcome = @own ? postgres.reset(force: true) : postgres.start
        yield postgres.url
      ensure
        # A second Ctrl-C must not keep the server from being stopped.
        SIGNALS.each { |signal| trap(signal, "IGNORE") }
        postgres.stop if outcome == :started || @own
      end
    end

    private

    def alone
      path = "#{postgres.data_folder}.lock"
      FileUtils.mkdir_p(File.dirname(path))
      File.open(path, File::RDWR | File::CREAT, 0o644) do |lock|
        free = lock.flock(File::LOCK_EX | File::LOCK_NB)
        raise Busy, "another demo runs in this folder; wait for its end" unless free

        yield
      end
    end

    # In the checkout, or, where the server's user cannot enter the checkout, beside root's other data.
    def own_folder
      inside = File.join(ROOT, "tmp", "demo")
      return inside unless Process.euid.zero? && !open_to_all?(ROOT)

      name = "demo-#{Digest::SHA256.hexdigest(ROOT)[0, 8]}"
      File.join(TaskerCore::Internal::EmbeddedPostgres::ROOT_DATA_FOLDER, name)
    end

    def open_to_all?(folder)
      Pathname.new(folder).ascend.all? { |part| part.stat.mode.anybits?(0o001) }
    end
  end
end
