# frozen_string_literal: true

require "tmpdir"

RSpec.describe TaskerCore::Internal::Executable do
  it "finds a program in the first folder of PATH that has it" do
    Dir.mktmpdir do |folder|
      program = File.join(folder, "sh")
      File.write(program, "")
      File.chmod(0o755, program)
      expect(described_class.find("sh", env: { "PATH" => "/nowhere:#{folder}:/bin" })).to eq(program)
    end
  end

  it "passes over files that may not be executed" do
    Dir.mktmpdir do |folder|
      File.write(File.join(folder, "a-program"), "")
      expect(described_class.find("a-program", env: { "PATH" => folder })).to be_nil
    end
  end

  it "looks into the folders of the system without a PATH" do
    expect(described_class.find("sh", env: {})).to end_with("/bin/sh")
  end
end
