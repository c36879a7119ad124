# frozen_string_literal: true

require_relative "lib/tasker_core/version"

Gem::Specification.new do |spec|
  spec.name = "tasker_core"
  spec.version = TaskerCore::VERSION
  spec.authors = ["The tasker_core authors"]
  spec.summary = "Durable workflows on the Postgres you already have"
  spec.description = "Runs workflows, directed acyclic graphs of steps, durably on Postgres: handlers in Ruby, " \
                     "decisions in a Rust core, nothing else to operate."
  spec.homepage = "https://github.com/tasker-core/tasker_core"
  spec.license = "MIT"
  spec.metadata = { "source_code_uri" => spec.homepage,
                    "changelog_uri" => "#{spec.homepage}/blob/main/CHANGELOG.md",
                    "rubygems_mfa_required" => "true" }

  spec.required_ruby_version = ">= 3.1"
  spec.required_rubygems_version = ">= 3.3.11"

  # The crate in src is part of the extension, so all that cargo needs to build it offline from a
  # database is here: the queries, their cache and the setting that makes sqlx use it.
  spec.files = Dir.chdir(__dir__) do
    # The benches are there because Cargo.toml names them; nothing of them is compiled.
    Dir["lib/**/*.{rb,tt}", "app/**/*.rb", "config/routes.rb", "sig/**/*.rbs", "exe/*", "ext/**/*.{rb,rs,toml}",
        "src/**/*.{rs,sql}", "benches/**/*.rs", "migrations/*.sql", ".sqlx/*.json", ".cargo/config.toml",
        "Cargo.{toml,lock}", "README.md", "CHANGELOG.md", "LICENSE"]
  end
  spec.bindir = "exe"
  spec.executables = ["tasker"]
  spec.extensions = ["ext/tasker_core/extconf.rb"]
end
