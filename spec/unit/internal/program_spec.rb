# frozen_string_literal: true

require "json"
require "tasker_core/internal/program"

RSpec.describe TaskerCore::Internal::Program do
  include CommandLine

  around { |example| Dir.mktmpdir { |folder| (@folder = File.realpath(folder)) && example.run } }

  # Writes what a process sees that was started again as a program, and had other code by then.
  def seen(*arguments, chdir: @folder, before: "", env: {})
    path = File.join(@folder, "program.rb")
    File.write(path, <<~RUBY)
      require "tasker_core/internal/program"
      program = TaskerCore::Internal::Program.new
      #{before}
      File.write(__FILE__, 'require "json"; puts JSON.generate([ARGV, ENV["FIRST"], ENV["SECOND"], Dir.pwd])')
      Process.wait(program.start({ "SECOND" => "2" }))
    RUBY
    variables = { "FIRST" => "1", "RUBYLIB" => "#{CommandLine::ROOT}/lib" }.merge(env)
    outcome = run_program(RbConfig.ruby, path, *arguments, chdir: chdir, env: variables)
    outcome.out.empty? ? outcome.err : outcome.json
  end

  it "is started with its arguments, its environment and more, and in its folder" do
    expect(seen("work", "-p", "2 3")).to eq([["work", "-p", "2 3"], "1", "2", @folder])
  end

  it "is started in the folder that a link names by then" do
    %w[one two].each { |name| Dir.mkdir(File.join(@folder, name)) }
    link = File.join(@folder, "current")
    File.symlink("one", link)
    before = "File.unlink(#{link.inspect}); File.symlink('two', #{link.inspect})"

    expect(seen(chdir: link, before: before, env: { "PWD" => link }).last).to eq(File.join(@folder, "two"))
  end

  it "is started in its own folder where PWD names another" do
    expect(seen(env: { "PWD" => "/" }).last).to eq(@folder)
  end

  it "is started without what Bundler has set" do
    before = "require 'bundler'; ENV['FIRST'] = 'of Bundler'"

    expect(seen(before: before)[1]).to eq("1")
  end
end
