# frozen_string_literal: true

require "fileutils"
require "open3"
require "rbconfig"
require "rubygems/package"

# The first run compiles the extension once more, so each example may take minutes.
RSpec.describe "the gem", timeout: 900 do
  root = File.expand_path("../..", __dir__)
  # The same folder in each run, or cargo would take it for another crate each time and keep both.
  folder = File.join(root, "tmp", "packaging")
  built = File.join(folder, "built.gem")

  # As on a user's machine: nothing of this checkout or of Bundler, and a database named for
  # something else. Only cargo's cache is shared, so that a second run is quick.
  environment = ENV.keys.grep(/\A(RUBYLIB|RUBYOPT|BUNDLE|GEM_|TASKER_)/).to_h { |name| [name, nil] }.merge(
    "GEM_HOME" => File.join(folder, "gems"), "GEM_PATH" => File.join(folder, "gems"), "SQLX_OFFLINE" => nil,
    "DATABASE_URL" => "postgres://nobody@nowhere.invalid/nothing",
    "CARGO_TARGET_DIR" => ENV.fetch("CARGO_TARGET_DIR", File.join(root, "target")), "RB_SYS_CARGO_PROFILE" => "dev"
  )

  define_method(:run) do |*words, chdir: folder|
    output, status = Open3.capture2e(environment, RbConfig.ruby, *words, chdir: chdir)
    status.success? ? output : raise(output)
  end

  before(:context) do
    FileUtils.rm_rf(folder)
    FileUtils.mkdir_p(folder)
    run("-S", "gem", "build", "--strict", "--output", built, "tasker_core.gemspec", chdir: root)
  end

  let(:package) { Gem::Package.new(built) }
  let(:files) { package.contents }

  it "holds all that a build from source needs" do
    expect(files).to include("lib/tasker_core.rb", "exe/tasker", "ext/tasker_core/extconf.rb",
                             "ext/tasker_core/cargo_makefile.rb", "ext/tasker_core/Cargo.toml",
                             "ext/tasker_core/src/lib.rs", "Cargo.toml", "Cargo.lock", ".cargo/config.toml",
                             "src/lib.rs", "README.md", "CHANGELOG.md", "LICENSE", "sig/tasker_core.rbs")
    tracked = Dir.glob("{src/**/*.{rs,sql},migrations/*.sql,.sqlx/*.json,lib/**/*.{rb,tt},app/**/*.rb,config/*.rb}",
                       base: root)
    expect(tracked - files).to eq([])
    expect(files.grep(%r{\A(migrations/.*\.up\.sql|\.sqlx/query-.*\.json)\z})).not_to be_empty
  end

  it "holds nothing else" do
    allowed = %w[.cargo .sqlx CHANGELOG.md Cargo.lock Cargo.toml LICENSE README.md app benches config exe ext lib
                 migrations sig src]
    expect(files.map { |file| file[%r{\A[^/]+}] }.uniq - allowed).to eq([])
    expect(files.grep(%r{\.(so|bundle|gem|o|log)\z|(\A|/)target/})).to eq([])
  end

  it "needs no other gem" do
    expect(package.spec.dependencies).to eq([])
  end

  it "is installed from source into an empty place, and loads from there" do
    run("-S", "gem", "install", "--local", "--no-document", built)
    loaded = run("-w", "-e", <<~RUBY, chdir: "/").lines(chomp: true)
      require "tasker_core"
      puts TaskerCore::VERSION, TaskerCore::Internal::Bridge, $LOADED_FEATURES.grep(%r{/tasker_core/tasker_core\\.})
    RUBY
    place = File.join(folder, "gems", "gems", "tasker_core-#{TaskerCore::VERSION}", "lib", "tasker_core")
    expect(loaded).to eq([TaskerCore::VERSION, "TaskerCore::Internal::Bridge",
                          File.join(place, "tasker_core.#{RbConfig::CONFIG["DLEXT"]}")])
    expect(run(File.join(folder, "gems", "bin", "tasker"), "--version", chdir: "/")).to include(TaskerCore::VERSION)
  end
end
