# frozen_string_literal: true

require "fileutils"
require "open3"
require "rbconfig"
require "tmpdir"

# An extension with methods that panic is compiled, and loaded into a process of its own.
RSpec.describe "A panic in the native library" do
  root = File.expand_path("../..", __dir__)

  def compiled(root)
    command = %w[cargo build --quiet --locked --package tasker_core_bridge --features panics --message-format json]
    out, err, status = Open3.capture3({ "SQLX_OFFLINE" => "true" }, *command, chdir: root)
    expect(status).to be_success, err
    files = out.lines.flat_map { |line| JSON.parse(line).fetch("filenames", []) }
    files.find { |file| file.end_with?("libtasker_core.so") } || raise("nothing was compiled: #{out}")
  end

  it "is an exception that can be rescued, and the process goes on", timeout: 300 do
    Dir.mktmpdir do |folder|
      FileUtils.cp(compiled(root), File.join(folder, "tasker_core.so"))
      program = <<~RUBY
        require "tasker_core/errors"
        require #{File.join(folder, "tasker_core.so").inspect}
        bridge = TaskerCore::Internal::Bridge
        calls = %i[panic_with_gvl panic_without_gvl] * 2
        calls.each do |call|
          bridge.public_send(call)
        rescue TaskerCore::InternalError => e
          puts e.message
        end
        Thread.new { bridge.panic_without_gvl rescue nil }.join
        puts bridge.check_template('{"name": "a", "step_templates": [{"name": "b", "handler_class": "C"}]}').size.positive?
      RUBY
      out, err, status = Open3.capture3(RbConfig.ruby, "-I", File.join(root, "lib"), "-e", program)
      expect(status).to be_success, err
      message = ->(how) { "a defect in tasker_core: on purpose, #{how} the lock; please report it" }
      expect(out.lines(chomp: true)).to eq([*[message["with"], message["without"]] * 2, "true"])
      expect(err).to include("panicked at")
    end
  end
end
