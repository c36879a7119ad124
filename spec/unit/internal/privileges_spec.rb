# frozen_string_literal: true

require "etc"
require "tmpdir"

RSpec.describe TaskerCore::Internal::Privileges do
  let(:me) { Etc.getpwuid(Process.euid) }

  describe ".current" do
    it "keeps the user of a process that is not root's" do
      allow(Process).to receive(:euid).and_return(me.uid.zero? ? Etc.getpwnam("nobody").uid : me.uid)
      expect(described_class.current.wrap(%w[initdb -D x])).to eq(%w[initdb -D x])
    end

    it "steps down from root to a user that Postgres accepts" do
      allow(Process).to receive(:euid).and_return(0)
      user = described_class.current.user
      expect(user.uid).not_to eq(0)
      expect(described_class.current.wrap(%w[initdb -D x]).join(" "))
        .to match(/\A(setpriv --reuid #{user.name} .*--|runuser -u #{user.name} --) initdb -D x\z/)
    end

    it "says what to do when root has no such user" do
      allow(Process).to receive(:euid).and_return(0)
      allow(Etc).to receive(:getpwnam).and_raise(ArgumentError)
      expect { described_class.current }
        .to raise_error(TaskerCore::ConfigurationError, /none of the users postgres, nobody exists; run/)
    end

    it "says what to do when no program steps down" do
      allow(Process).to receive(:euid).and_return(0)
      allow(TaskerCore::Internal::Executable).to receive(:find).and_return(nil)
      expect { described_class.current }
        .to raise_error(TaskerCore::ConfigurationError, /none of the programs setpriv, runuser was found/)
    end
  end

  describe "#private_folder" do
    subject(:privileges) { described_class.new(user: me) }

    around { |example| Dir.mktmpdir { |folder| (@path = File.join(folder, "own")) && example.run } }

    it "makes a folder that is closed to others" do
      privileges.private_folder(@path)
      stat = File.stat(@path)
      expect([stat.uid, format("%o", stat.mode & 0o7777)]).to eq([me.uid, "700"])
    end

    it "takes such a folder that is there" do
      Dir.mkdir(@path, 0o700)
      expect(privileges.private_folder(@path)).to eq(@path)
    end

    it "refuses a folder that is open to others" do
      Dir.mkdir(@path)
      File.chmod(0o755, @path)
      expect { privileges.private_folder(@path) }
        .to raise_error(TaskerCore::ConfigurationError, /#{@path} must be closed to other users .* its mode is 0755/)
    end

    it "refuses a link, which somebody may turn elsewhere" do
      Dir.mkdir("#{@path}-target", 0o700)
      File.symlink("#{@path}-target", @path)
      expect { privileges.private_folder(@path) }
        .to raise_error(TaskerCore::ConfigurationError, /must be a folder, it is a link/)
    end

    it "refuses a folder of somebody else" do
      somebody = me.dup.tap { |user| user.uid += 1 }
      allow(File).to receive(:chown)
      expect { described_class.new(user: somebody).private_folder(@path) }
        .to raise_error(TaskerCore::ConfigurationError, /must belong to the user .*it belongs to uid #{me.uid}/)
    end
  end
end
