# frozen_string_literal: true

require "open3"
require "rbconfig"

# Runs the programs of this project as a user does: as processes, with warnings on.
module CommandLine
  ROOT = File.expand_path("../..", __dir__)
  # Variables of the environment that would change what a program does.
  NEUTRAL = %w[DATABASE_URL TASKER_ENV RAILS_ENV TASKER_DATA_DIR TASKER_DEBUG NO_COLOR].to_h { |name| [name, nil] }

  # What a program wrote, and its exit status; 128 and more for the signal that ended it.
  Outcome = Struct.new(:out, :err, :status) do
    # @return [Object] the JSON document on its standard output
    def json
      JSON.parse(out)
    end
  end

  # A program that runs.
  class Running
    # @return [Integer] process id
    attr_reader :pid

    # @param words [Array<String>]
    # @param env [Hash{String => String, nil}]
    # @param chdir [String]
    def initialize(words, env:, chdir: ROOT)
      @read, write = IO.pipe
      @text = String.new
      @pid = Process.spawn(NEUTRAL.merge(env), *words, in: File::NULL, %i[out err] => write, chdir: chdir)
      write.close
    end

    # @return [String] what it wrote so far, or until {#close}
    def text
      loop { @text << @read.read_nonblock(4096) }
    rescue IO::WaitReadable, IOError
      @text.dup.force_encoding(Encoding::UTF_8)
    end

    # @param name [String] of the signal
    # @return [void]
    def signal(name)
      Process.kill(name, pid) unless @status
    end

    # @return [Integer, nil] exit status, nil while it runs
    def status
      @status ||= begin
        _, ended = Process.wait2(pid, Process::WNOHANG)
        ended && (ended.exitstatus || (128 + ended.termsig))
      end
    end

    # Kills it if it runs.
    #
    # @return [void]
    def close
      return if @read.closed?

      signal("KILL") && Process.wait(pid) unless status
      text
      @read.close
    end
  end

  # @param words [Array<String>] program and arguments
  # @param env [Hash{String => String, nil}] variables
  # @param input [String] what it reads
  # @param chdir [String] the folder that it runs in
  # @return [Outcome]
  def run_program(*words, env: {}, input: "", chdir: ROOT)
    out, err, status = Open3.capture3(NEUTRAL.merge(env), *words, stdin_data: input, chdir: chdir)
    Outcome.new(out.force_encoding("UTF-8"), err.force_encoding("UTF-8"), status.exitstatus || (128 + status.termsig))
  end

  # @param words [Array<String>] after `tasker`
  # @return [Outcome]
  def tasker(*words, env: { "DATABASE_URL" => database_url }, **options)
    run_program(*tasker_program, *words, env: env, **options)
  end

  # @param words [Array<String>] after `tasker`
  # @yieldparam program [Running]
  # @return [Object] what the block returns
  def tasker_running(*words, env: { "DATABASE_URL" => database_url }, &block)
    running(*tasker_program, *words, env: env, &block)
  end

  # Yields while two worker processes work.
  #
  # @param workflow [String] a file of templates and handlers
  # @return [Object] what the block returns
  def in_two_processes(workflow)
    tasker_running("work", "-r", workflow, "-c", "2") do
      tasker_running("work", "-r", workflow, "-c", "2") do
        wait_until("both work") { TaskerCore.client.workers.size == 2 }
        yield
      end
    end
  end

  # @param words [Array<String>] program and arguments
  # @yieldparam program [Running] killed after the block if it still runs
  # @return [Object] what the block returns
  def running(*words, env:)
    program = Running.new(words, env: env)
    yield program
  ensure
    program&.close
  end

  # Whether a process with this id exists.
  #
  # @param pid [Integer]
  # @return [Boolean]
  def alive?(pid)
    Process.kill(0, pid)
    true
  rescue Errno::ESRCH
    false
  end

  private

  def tasker_program
    [RbConfig.ruby, "-w", "-I", File.join(ROOT, "lib"), File.join(ROOT, "exe", "tasker")]
  end
end
