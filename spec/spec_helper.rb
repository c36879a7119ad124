# frozen_string_literal: true

require "timeout"
require "tasker_core"

Dir[File.join(__dir__, "support", "**", "*.rb")].each { |file| require file }

# Seconds an example may take unless it says more in its metadata (`timeout: 300`).
EXAMPLE_TIMEOUT_SECONDS = 120

RSpec.configure do |config|
  config.disable_monkey_patching!
  config.raise_errors_for_deprecations!
  config.fail_if_no_examples = true
  config.expect_with(:rspec) { |expectations| expectations.syntax = :expect }
  config.mock_with(:rspec) { |mocks| mocks.verify_partial_doubles = true }

  config.example_status_persistence_file_path = File.expand_path("../.rspec_status", __dir__)
  config.order = :random
  Kernel.srand(config.seed)

  config.include Waiting
  config.include DatabaseHelpers, :database
  config.around(:each, :database) { |example| DatabaseHelpers.around(self, example) }
  config.around { |example| LeftThreads.refuse { example.run } }
  config.around do |example|
    Timeout.timeout(example.metadata.fetch(:timeout, EXAMPLE_TIMEOUT_SECONDS)) { example.run }
  end
  config.after(:suite) { TestServer.stop }
end
