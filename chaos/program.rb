#!/usr/bin/env ruby
# frozen_string_literal: true

# The program behind bin/chaos.

$LOAD_PATH.unshift(File.expand_path("../lib", __dir__))
require_relative "command"

output = TaskerCore::CLI::Output.new
failure = TaskerCore::CLI::Failure.new(output, debug: ENV["TASKER_DEBUG"] == "1", program: "chaos")
exit(failure.guard { Chaos::Command.new(output: output).run(ARGV) })
