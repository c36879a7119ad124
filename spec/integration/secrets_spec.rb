# frozen_string_literal: true

require "logger"
require "stringio"

RSpec.describe "A password in a database URL", :database do
  include CommandLine

  password = "hunter2%2Fs3cret%40x"
  secret = /hunter2|s3cret/

  let(:url) { database_url.sub("//tasker@", "//tasker:#{password}@") }
  # Everything that the engine and its libraries say.
  let(:talkative) { { "TASKER_LOG" => "trace", "TASKER_DEBUG" => "1", "RUST_BACKTRACE" => "1" } }

  before { expect(url).to include(password) }

  # What every user of the machine sees of a process and of those that it started.
  def shown_by_ps(pid)
    Dir.glob("/proc/[0-9]*").filter_map do |folder|
      parent = File.read("#{folder}/stat")[/\) \S (\d+)/, 1].to_i
      File.read("#{folder}/cmdline") + File.read("#{folder}/comm") if [parent, File.basename(folder).to_i].include?(pid)
    rescue SystemCallError
      nil
    end
  end

  # The objects and those of the library that they hold.
  def all_instances(objects, seen = {}.compare_by_identity)
    objects.each do |object|
      next if seen.key?(object) || !object.class.name.to_s.start_with?("TaskerCore")

      seen[object] = true
      all_instances(object.instance_variables.map { |name| object.instance_variable_get(name) }, seen)
    end
    seen.keys
  end

  it "is not told by the commands, whatever goes wrong" do
    unreachable = "postgres://tasker:#{password}@127.0.0.1:1/none"
    wrong = [["status", "1", "--database-url", unreachable], ["status", "1", "--database-url", "#{url}_missing"],
             ["status", "1", "--database-url", "mysql://tasker:#{password}@127.0.0.1/none"],
             ["status", "1", "--database-url", "postgres://tasker:#{password}@127.0.0.1:port/none"],
             ["status", "1", "--database-url", "#{database_url}?password=#{password}&sslmode=wrong"],
             ["workers", "--database-urll", url], ["workers", "--database-urll=#{url}"],
             ["--database-url=#{url}", "list"], ["list", url],
             ["status", url], ["list", "--limit", url], ["work", "-r", url], ["submit", url],
             ["list", "--database-url", "postgres://tasker:#{password}\xFF@127.0.0.1:1/none"]]
    outcomes = wrong.map { |words| tasker(*words, env: talkative) }
    [unreachable, "mysql://a:#{password}@b", "postgres://a:#{password}\xFF@b"].each do |bad|
      outcomes << tasker("list", env: talkative.merge("DATABASE_URL" => bad))
    end
    expect(outcomes.map(&:status)).to all(eq(2))
    expect(outcomes.map { |outcome| outcome.out + outcome.err }).to all(satisfy { |text| !text.match?(secret) })
  end

  it "is not told by what works, nor shown by ps" do
    workflows = File.join(CommandLine::ROOT, "spec/fixtures/workflows.rb")
    words = ["work", "-r", workflows, "-p", "2", "--database-url", url]
    said = tasker_running(*words, env: talkative) do |program|
      Waiting.wait_until("two workers are ready", within: 30) { program.text.scan("is ready").size == 2 }
      expect(shown_by_ps(program.pid).size).to eq(3)
      expect(shown_by_ps(program.pid)).to all(satisfy { |text| !text.match?(secret) })
      program.signal("TERM")
      Waiting.wait_until("they ended", within: 30) { program.status }
      program.text
    end
    expect(said).to match(/TRACE|DEBUG/)
    expect(said).not_to match(secret)
  end

  it "is not shown by the library's objects, its errors or its log" do
    log = StringIO.new
    configuration = TaskerCore.configuration.with do |c|
      c.database_url = url
      c.logger = Logger.new(log)
    end
    client = TaskerCore::Client.new(configuration)
    client.schema_version
    worker = TaskerCore::Worker.new(configuration: configuration).start
    database = TaskerCore::Database.resolve(configuration)

    objects = all_instances([client, worker, configuration, database])
    expect(objects.size).to be > 8
    objects.each { |object| expect(object.inspect).not_to match(secret), object.class.name }
    error = client.status(99) rescue $! # rubocop:disable Style/RescueModifier, Style/SpecialGlobalVars
    expect([error.message, error.details.inspect, error.full_message, log.string].join).not_to match(secret)
  ensure
    worker&.stop!
    worker&.wait
    client&.close
  end
end
