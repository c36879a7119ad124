# frozen_string_literal: true

require "open3"
require "rbconfig"

RSpec.describe TaskerCore do
  def ruby(code)
    load_path = $LOAD_PATH.flat_map { |folder| ["-I", folder.to_s] }
    output, status = Open3.capture2e(RbConfig.ruby, "-w", *load_path, "-e", code)
    raise output unless status.success?

    output
  end

  it "starts no thread, connects to nothing and warns of nothing when it is loaded" do
    code = <<~'RUBY'
      before = Dir.children("/proc/self/task").size
      require "tasker_core"
      open = Dir.children("/proc/self/fd").filter_map { |fd| File.readlink("/proc/self/fd/#{fd}") rescue nil }
      puts Thread.list.size, Dir.children("/proc/self/task").size - before, open.grep(/socket/).size
    RUBY

    expect(ruby(code)).to eq("1\n0\n0\n")
  end

  describe ".configure" do
    around do |example|
      before = described_class.configuration
      example.run
    ensure
      described_class.configure { |c| restore(c, before) }
    end

    def restore(draft, before)
      %i[database_url environment logger pool_size connect_timeout].each do |name|
        draft.public_send("#{name}=", before.public_send(name))
      end
    end

    it "replaces the settings in force and keeps those that were not changed" do
      described_class.configure { |c| c.pool_size = 7 }
      described_class.configure { |c| c.environment = "qa" }

      expect(described_class.configuration).to be_frozen.and have_attributes(pool_size: 7, environment: "qa")
    end

    it "changes nothing when a value is refused" do
      before = described_class.configuration

      expect { described_class.configure { |c| c.pool_size = 0 } }.to raise_error(TaskerCore::ConfigurationError)
      expect(described_class.configuration).to be(before)
    end

    it "makes another client afterwards, and the same one otherwise" do
      before = described_class.client
      expect(described_class.client).to be(before)
      described_class.configure { |c| c.pool_size = 7 }

      expect(described_class.client).not_to be(before)
    end
  end
end
