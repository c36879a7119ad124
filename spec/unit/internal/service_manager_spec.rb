# frozen_string_literal: true

require "io/wait"
require "socket"
require "tasker_core/internal/service_manager"

RSpec.describe TaskerCore::Internal::ServiceManager do
  around do |example|
    Dir.mktmpdir do |folder|
      @path = File.join(folder, "notify")
      @socket = listening(@path)
      example.run
    ensure
      @socket.close
    end
  end

  let(:said) { StringIO.new }

  def listening(name)
    Socket.new(:UNIX, :DGRAM).tap { |socket| socket.bind(Socket.sockaddr_un(name)) }
  end

  def manager(**env)
    described_class.new(logger: Logger.new(said), env: env.transform_keys(&:to_s))
  end

  def messages(socket = @socket)
    Enumerator.produce { socket.recv_nonblock(1_000, exception: false) }.take_while { |text| text.is_a?(String) }
  end

  it "tells what sd_notify(3) has, and the same status once" do
    there = manager(NOTIFY_SOCKET: @path)
    there.ready("5 threads")
    ["5 threads", "3 threads", "3 threads"].each { |text| there.status(text) }
    there.ready("2 threads")
    there.alive
    there.stopping

    expect(messages).to eq(["READY=1\nSTATUS=5 threads", "STATUS=3 threads", "STATUS=2 threads",
                            "WATCHDOG=1", "STOPPING=1\nSTATUS=stopping"])
  end

  it "tells it under a name of Linux's own" do
    name = "tasker-spec-#{Process.pid}"
    abstract = listening("\0#{name}")
    manager(NOTIFY_SOCKET: "@#{name}").alive

    expect(messages(abstract)).to eq(["WATCHDOG=1"])
  ensure
    abstract&.close
  end

  it "tells nobody where nobody asks" do
    expect { manager.ready("5 threads") }.not_to(change { [messages, said.string] })
  end

  it "may be used in a signal trap" do
    there = manager(NOTIFY_SOCKET: @path)
    before = trap("USR2") { there.stopping }
    Process.kill("USR2", Process.pid)
    raise "nothing is told" unless @socket.wait_readable(10)

    expect(messages).to eq(["STOPPING=1\nSTATUS=stopping"])
  ensure
    trap("USR2", before)
  end

  ["/no/such/socket", "relative", "/#{"x" * 200}"].each do |path|
    it "says once that it cannot reach #{path[0, 20]}" do
      there = manager(NOTIFY_SOCKET: path)
      2.times { there.alive }
      wait_until("it is said") { said.string.include?("\n") }

      expect(said.string.scan(/NOTIFY_SOCKET is "#{path}", where nobody can be told anything: .+/).size).to eq(1)
    end
  end

  { "a time" => [{ WATCHDOG_USEC: "3000000" }, 1.5], "this process" => [{ WATCHDOG_PID: Process.pid.to_s }, 1.0],
    "another process" => [{ WATCHDOG_PID: "1" }, nil], "no time" => [{ WATCHDOG_USEC: "0" }, nil],
    "a word" => [{ WATCHDOG_USEC: "often" }, nil] }.each do |name, (env, seconds)|
    it "wants to be told that it lives every #{seconds.inspect} s for #{name}" do
      expect(manager(NOTIFY_SOCKET: @path, WATCHDOG_USEC: "2000000", **env).beat_seconds).to eq(seconds)
    end
  end

  it "is told that the process lives while a block runs, and not afterwards" do
    there = manager(NOTIFY_SOCKET: @path, WATCHDOG_USEC: "20000")
    there.while_alive { 2.times { @socket.wait_readable(10) && @socket.recv(100) } }
    messages

    expect(@socket.wait_readable(0.1)).to be_nil
  end
end
