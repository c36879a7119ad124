# frozen_string_literal: true

RSpec.describe "bin/tasker work", database: :empty do
  include RailsApplication

  before do
    template = "generators/tasker_core/install/templates/tasker.tt"
    write("bin/tasker", File.read(File.join(RailsApplication::LIBRARY, template)))
    rails("db:migrate")
  end

  def ready(program)
    program.text.scan(/\(pid (\d+)\) is ready/).flatten
  end

  def greeting
    in_rails(<<~RUBY)
      id = TaskerCore.submit("greeting")
      TaskerCore.wait(id, timeout: 30)
      TaskerCore.result(id).results_of("greet")
    RUBY
  end

  it "loads the application anew by USR1" do
    words = [RbConfig.ruby, "bin/tasker", "work", "-p", "2"]
    program = CommandLine::Running.new(words, env: environment(RAILS_ENV: "production"), chdir: folder)
    wait_until("both are ready", within: 30) { ready(program).size == 2 }
    first = greeting
    write("app/handlers/greet.rb", read("app/handlers/greet.rb").sub('"hello"', '"good day"'))
    program.signal("USR1")
    wait_until("both are replaced", within: 60) { program.text.scan("worker stopped").size == 2 }

    expect([first, greeting]).to eq(["hello", "good day"])
    expect([ready(program).uniq.size, ready(program).size]).to eq([4, 4])
    program.signal("TERM")
    expect(wait_until("it ends", within: 30) { program.status }).to eq(0)
  ensure
    program&.close
  end

  it "names templates whose handlers are missing, also where one is missing in a release that is loaded anew" do
    broken = ->(name) { "name: #{name}\nstep_templates: [{name: a, handler_class: Nowhere}]" }
    write("config/tasker/broken.yaml", broken.call("broken"))
    words = [RbConfig.ruby, "bin/tasker", "work", "-p", "1"]
    program = CommandLine::Running.new(words, env: environment(RAILS_ENV: "production"), chdir: folder)
    wait_until("it is ready", within: 30) { ready(program).size == 1 }
    write("config/tasker/worse.yaml", broken.call("worse"))
    program.signal("USR1")
    wait_until("it is replaced", within: 60) { program.text.include?("worker stopped") }

    expect(greeting).to eq("hello")
    expect(program.text.scan(/^tasker: .*?(\w+)\.yaml: step "a": .* Nowhere .*everything else goes on$/).flatten)
      .to eq(%w[broken broken worse])
  ensure
    program&.close
  end

  it "warns of more threads than Active Record has connections, here and in the log" do
    told = [%w[-c 6], %w[-c 5]].map do |threads|
      words = [RbConfig.ruby, "bin/tasker", "work", *threads]
      program = CommandLine::Running.new(words, env: environment, chdir: folder)
      wait_until("it is ready", within: 30) { ready(program).any? }
      program.text.scan(/tasker: a worker has 6 threads here and Active Record 5 connections: .* or -c$/).size
    ensure
      program&.close
    end

    expect(told).to eq([1, 0])
    expect(read("log/test.log").scan(/worker \d+: a worker has . threads here/))
      .to match([/has 6 threads/])
  end
end
