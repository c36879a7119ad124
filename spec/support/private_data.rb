# frozen_string_literal: true

require "tmpdir"
require "tasker_core/internal/embedded_postgres"

# A folder of the example's own for the data of the private Postgres that programs start, which is stopped after it.
#
# @example
#   RSpec.describe "bin/demo" do
#     include PrivateData
#
#     it "starts Postgres" do
#       running("bin/demo", env: { "TASKER_DATA_DIR" => data }) { ... }
#     end
#   end
module PrivateData
  def self.included(base)
    base.around do |example|
      Dir.mktmpdir do |folder|
        # The server's user, who is another one when root runs the specs, has to pass.
        File.chmod(0o711, folder)
        @data = File.join(folder, "data")
        example.run
      ensure
        postgres.stop
      end
    end
  end

  # @return [String]
  attr_reader :data

  # @return [TaskerCore::Internal::EmbeddedPostgres]
  def postgres
    TaskerCore::Internal::EmbeddedPostgres.new(data_folder: data)
  end
end
