# frozen_string_literal: true

require "fileutils"
require "json"
require "tmpdir"
require_relative "command_line"

# Runs the application of spec/rails/dummy in processes of their own, in a copy that the example may change. Its
# database is the example's.
#
# @example
#   RSpec.describe "an application", database: :empty do
#     include RailsApplication
#
#     it "has a name" do
#       expect(in_rails("Rails.application.class.name")).to eq("Dummy::Application")
#     end
#   end
module RailsApplication
  include CommandLine

  DUMMY = File.expand_path("../rails/dummy", __dir__)
  LIBRARY = File.expand_path("../../lib", __dir__)

  def self.included(base)
    base.before { skip("needs Rails; bin/setup --tests installs it") unless installed? }
    base.around do |example|
      Dir.mktmpdir("tasker-rails-") do |folder|
        FileUtils.cp_r("#{DUMMY}/.", folder)
        @folder = folder
        example.run
      end
    end
  end

  # @return [String] the copy
  attr_reader :folder

  # @param code [String] Ruby that is evaluated when the application has started
  # @param env [Hash{String => String}] more variables of the environment
  # @return [Object] its value, by way of JSON
  # @raise [RuntimeError] it fails
  def in_rails(code, **env)
    outcome = rails_process(code, **env)
    raise "the application failed: #{outcome.err}" unless outcome.status.zero?

    JSON.parse(outcome.out).first
  end

  # @return [String] code that defines `work_until`: a worker executes steps until the task of this id has ended, whose
  #   result is returned
  def work
    <<~RUBY
      def work_until(task_id)
        worker = TaskerCore::Worker.new(heartbeat_interval: 0.1).start
        TaskerCore.wait(task_id, timeout: 30)
        TaskerCore.result(task_id)
      ensure
        worker.stop!
        worker.wait
      end
    RUBY
  end

  # @param code [String] (see #in_rails)
  # @return [CommandLine::Outcome]
  def rails_process(code, **env)
    program = "require './config/environment'; seen = begin\n#{code}\nend; puts JSON.generate([seen])"
    run_in_application(RbConfig.ruby, "-e", program, **env)
  end

  # @param words [Array<String>] after `bin/rails`
  # @return [String] what it wrote
  # @raise [RuntimeError] it fails
  def rails(*words, **env)
    outcome = run_in_application(RbConfig.ruby, "bin/rails", *words, **env)
    raise "bin/rails #{words.join(" ")} failed: #{outcome.err}#{outcome.out}" unless outcome.status.zero?

    outcome.out
  end

  # @param words [Array<String>] program and arguments
  # @return [CommandLine::Outcome]
  def run_in_application(*words, **env)
    run_program(*words, env: environment(**env), chdir: folder)
  end

  # @return [Hash{String => String}] variables of the application's processes
  def environment(**env)
    { "RAILS_ENV" => "test", "DATABASE_URL" => database_url, "RUBYLIB" => LIBRARY }.merge(env.transform_keys(&:to_s))
  end

  # @param path [String] a file of the copy
  # @param text [String]
  # @return [void]
  def write(path, text)
    file = File.join(folder, path)
    FileUtils.mkdir_p(File.dirname(file))
    File.write(file, text)
  end

  # @param path [String] a file of the copy
  # @return [String]
  def read(path)
    File.read(File.join(folder, path))
  end

  private

  def installed?
    Gem::Specification.find_all_by_name("railties").any? && Gem::Specification.find_all_by_name("activerecord").any?
  end
end
