# frozen_string_literal: true

require "fileutils"
require "open3"
require "tmpdir"
require_relative "../../../ext/tasker_core/cargo_makefile"

RSpec.describe CargoMakefile do
  around do |example|
    Dir.mktmpdir do |root|
      @root = File.realpath(root)
      @folder = FileUtils.mkdir_p(File.join(@root, "build")).first
      write_cargo
      write_makefile
      example.run
    end
  end

  def write_makefile
    before = ENV.fetch("CARGO", nil)
    ENV["CARGO"] = cargo
    Dir.chdir(@folder) { described_class.new("tasker_core/tasker_core", folder: File.join(@root, "ext")).write }
  ensure
    ENV["CARGO"] = before
  end

  let(:extension) { "tasker_core.#{RbConfig::CONFIG["DLEXT"]}" }
  let(:site) { File.join(@root, "site") }

  # Notes its arguments and leaves an artefact with the text of `content` where cargo would.
  def write_cargo
    File.write(cargo, <<~SH)
      #!/bin/sh
      echo "$@" >> #{@root}/calls
      while [ $# -gt 0 ]; do
        case $1 in --target-dir) target=$2 ;; --profile) profile=$2 ;; esac
        shift
      done
      [ "$profile" = dev ] && profile=debug
      mkdir -p "$target/$profile"
      cp #{@root}/content "$target/$profile/libtasker_core.#{RbConfig::CONFIG["SOEXT"]}"
    SH
    File.chmod(0o755, cargo)
    File.write(File.join(@root, "content"), "first")
  end

  def cargo
    File.join(@root, "cargo")
  end

  def make(*arguments, env: {})
    variables = { "CARGO" => nil, "CARGO_TARGET_DIR" => nil, "RB_SYS_CARGO_PROFILE" => nil, "MAKEFLAGS" => nil }
    output, status = Open3.capture2e(variables.merge(env), "make", *arguments, chdir: @folder)
    raise output unless status.success?
  end

  def calls
    File.readlines(File.join(@root, "calls"), chomp: true)
  end

  it "builds what Cargo.lock says, for release, in a folder of its own" do
    make
    expect(calls).to eq(["rustc --locked --lib --manifest-path ../ext/Cargo.toml --target-dir #{@folder}/target " \
                         "--profile release"])
    expect(File.read(File.join(@folder, extension))).to eq("first")
  end

  it "asks cargo each time and takes what has changed" do
    make
    File.write(File.join(@root, "content"), "second")
    make
    expect([calls.size, File.read(File.join(@folder, extension))]).to eq([2, "second"])
  end

  it "takes profile and folder from the environment" do
    make(env: { "RB_SYS_CARGO_PROFILE" => "dev", "CARGO_TARGET_DIR" => "#{@root}/shared" })
    expect(calls.first).to end_with("--target-dir #{@root}/shared --profile dev")
    expect(File.exist?(File.join(@folder, extension))).to be(true)
  end

  it "installs below the path that Ruby requires, where RubyGems says" do
    make("install", "sitearchdir=#{site}")
    expect(File.read(File.join(site, "tasker_core", extension))).to eq("first")
  end

  it "installs where rake-compiler says" do
    make("install", "sitearchdir=#{site}", "target_prefix=")
    expect(File.read(File.join(site, extension))).to eq("first")
  end

  it "leaves an installed extension alone that is the same, because a program may be using it" do
    make("install", "sitearchdir=#{site}")
    expect { make("install", "sitearchdir=#{site}") }
      .not_to(change { File.stat(File.join(site, "tasker_core", extension)).ino })
  end

  it "deletes a build folder of its own after the install, and no other" do
    make("install", "sitearchdir=#{site}")
    make("install", "sitearchdir=#{site}", env: { "CARGO_TARGET_DIR" => "#{@root}/shared" })
    expect([Dir.exist?(File.join(@folder, "target")), Dir.exist?(File.join(@root, "shared"))]).to eq([false, true])
  end

  it "cleans up without a build" do
    make
    make("clean")
    expect(File.exist?(File.join(@folder, extension))).to be(false)
  end

  it "keeps from cargo what would make it build everything again" do
    File.write(cargo, "env >> #{@root}/environment\n", mode: "a")
    make(env: { "SOURCE_DATE_EPOCH" => "1700000000" })
    expect(File.read(File.join(@root, "environment"))).not_to match(/^(RUBY|SOURCE_DATE_EPOCH)=/)
  end

  it "says what to install without cargo" do
    script = 'require ARGV[0]; Dir.chdir(ARGV[1]) { create_rust_makefile("a/b") }'
    nowhere = { "PATH" => "/nowhere", "HOME" => @root, "CARGO" => nil }
    output, status = Open3.capture2e(nowhere, RbConfig.ruby, "-e", script,
                                     File.expand_path("../../../ext/tasker_core/cargo_makefile", __dir__), @folder)
    expect([output, status.success?]).to match([/cargo was not found; install Rust/, false])
  end
end
