# frozen_string_literal: true

require "fileutils"
require "open3"
require "rbconfig"
require "tmpdir"

RSpec.describe "bin/setup" do
  around { |example| Dir.mktmpdir { |folder| (@folder = folder) && example.run } }

  let(:root) { File.expand_path("../..", __dir__) }

  # What the script itself needs of a system.
  tools = %w[bash cat cut dirname flock grep head id mkdir mktemp rm sed sh sleep sort stat tail tr uname]

  # A machine that has only these programs; a program with a text is replaced by a script.
  def machine(*programs, **scripts)
    programs.each { |name| File.symlink(TaskerCore::Internal::Executable.find(name), File.join(@folder, name)) }
    scripts.each do |name, text|
      path = File.join(@folder, name.to_s.tr("_", "-"))
      File.write(path, "#!/bin/sh\n#{text}\n")
      File.chmod(0o755, path)
    end
  end

  def setup(*options, env: {})
    variables = { "PATH" => @folder, "HOME" => @folder, "CARGO_HOME" => File.join(@folder, "cargo") }
    Open3.capture3(variables.merge(env), File.join(root, "bin", "setup"), "--no-compile", *options)
  end

  it "tells an ordinary user of Debian what is missing and what to run" do
    machine(*tools - ["id"], cargo: "echo cargo 1.99.0", id: "echo 1001", apt_get: "touch #{@folder}/apt-get-ran")
    _, said, status = setup
    expect(said).to match(/missing: a C compiler, make.* Ruby 3\.1 or newer, Ruby's header files, the gem rake,/)
    expect(said).to match(/sudo apt-get install --no-install-recommends gcc libc6-dev make .*ruby ruby-dev rake /)
    expect([status.exitstatus, File.exist?(File.join(@folder, "apt-get-ran"))]).to eq([1, false])
  end

  it "sees to Sidekiq and Redis where that is asked for" do
    machine(*tools - ["id"], cargo: "echo cargo 1.99.0", id: "echo 1001", apt_get: "exit 1")
    expect(setup("--sidekiq")[1]).to match(/a Redis server, .*the gem sidekiq.*apt-get install .* redis-server /m)
    expect(setup[1]).not_to match(/redis|sidekiq/i)
  end

  it "sees to what specs are skipped without where that is asked for" do
    machine(*tools - ["id"], cargo: "echo cargo 1.99.0", id: "echo 1001", apt_get: "exit 1")
    gems = %w[activerecord activejob faraday railties]
    browser = %w[capybara selenium-webdriver]
    named = [*gems, "puma", *browser].map { |gem| "the gem #{gem}" }.join(", ")
    packages = "ruby-#{gems.join(" ruby-")} puma ruby-#{browser.join(" ruby-")} "
    expect(setup("--tests")[1]).to match(/#{named}.* #{packages}/m)
    expect(setup[1]).not_to match(/#{gems.join("|")}|puma|capybara/)
  end

  it "tells what is missing where there is no apt" do
    machine(*tools, cargo: "echo cargo 1.99.0")
    _, said, status = setup
    expect([said, status.exitstatus]).to match([/missing: .*brew install ruby llvm postgresql/m, 1])
  end

  it "tells where to get cargo" do
    machine(*tools)
    _, said, status = setup
    expect([said, status.exitstatus]).to match([/missing: cargo; install Rust 1\.\d+ or newer: https:/, 1])
  end

  it "tells that cargo is too old" do
    machine(*tools, cargo: "echo cargo 1.60.0")
    _, said, status = setup
    expect([said, status.exitstatus]).to match([/Rust 1\.\d+ or newer is needed, cargo is 1\.60\.0; run: rustup/, 1])
  end

  it "installs as root what is missing, and says so when that did not help" do
    machine(*tools - ["id"], cargo: "echo cargo 1.99.0", id: "echo 0", apt_get: "echo \"$@\" >> #{@folder}/calls")
    said, failed, status = setup
    expect(said).to match(/installing Debian packages: .*ruby-rspec/)
    expect([failed, status.exitstatus]).to match([/still missing after the installation: .*the gem rspec/, 1])
    expect(File.readlines(File.join(@folder, "calls"), chomp: true))
      .to match(["-q update", /install -y -q --no-install-recommends -o DPkg::Lock::Timeout=900 .* ruby-rspec /])
  end

  it "finds cargo where rustup puts it" do
    machine(*tools)
    FileUtils.mkdir_p(File.join(@folder, "cargo", "bin"))
    File.write(File.join(@folder, "cargo", "bin", "cargo"), "#!/bin/sh\necho cargo 1.60.0\n")
    File.chmod(0o755, File.join(@folder, "cargo", "bin", "cargo"))
    expect(setup[1]).to include("cargo is 1.60.0")
  end

  it "refuses an option that it does not know" do
    machine(*tools)
    _, said, status = setup("--fast")
    expect([said, status.exitstatus]).to match([/unknown option --fast\nUsage:/, 2])
  end

  it "does nothing and says nothing where everything is done", timeout: 600 do
    script = File.join(root, "bin", "setup")
    system(script, out: File::NULL, err: File::NULL)
    extension = File.join(root, "lib", "tasker_core", "tasker_core.#{RbConfig::CONFIG["DLEXT"]}")
    compiled = File.stat(extension)
    output, status = Open3.capture2e(script, "--quiet")
    expect([output, status.exitstatus, File.stat(extension).ino]).to eq(["", 0, compiled.ino])
  end
end
