# frozen_string_literal: true

require_relative "licence_record"
require_relative "signature_files"
require_relative "sql_texts"

# Checks that are one command each stand in bin/test; these need a few lines of Ruby.
namespace :lint do
  ruby_files = FileList["lib/**/*.rb", "app/**/*.rb", "config/*.rb", "ext/**/*.rb", "rakelib/**/*.{rb,rake}",
                        "spec/**/*.rb", "examples/**/*.rb", "bench/**/*.rb", "chaos/**/*.rb",
                        "*.gemspec", "Rakefile", "Gemfile"]

  desc "Fail where Ruby warns: each file on its own, and the library as it loads"
  task :warnings do
    require "open3"
    output, = Open3.capture2e(RbConfig.ruby, "-wc", *ruby_files)
    loading, = Open3.capture2e(RbConfig.ruby, "-w", "-Ilib", "-e", 'require "tasker_core"; require "tasker_core/cli"')
    complaints = output.lines.grep_v(/\ASyntax OK/) + loading.lines
    abort(complaints.join) if complaints.any?
    puts "#{ruby_files.size} files without a warning"
  end

  # Libraries of Ruby itself whose types the signatures name.
  libraries = %w[digest json logger monitor optparse pathname singleton time]

  desc "Fail unless every file of the library has a valid signature in sig"
  task :signatures do
    require "rbs"
    require "rbs/cli"
    files = SignatureFiles.new
    abort(files.complaints.join("\n")) if files.complaints.any?
    options = libraries.flat_map { |name| ["-r", name] }
    RBS::CLI.new(stdout: $stdout, stderr: $stderr).run([*options, "-I", "sig", "validate", "--silent"])
    puts "#{files.size} signatures are valid"
  end

  # Constants are left out: a name such as DATABASE or MAX_BYTES may say enough.
  desc "Fail where YARD warns or a public module, class, attribute or method has no documentation"
  task :documentation do
    options = %w[--no-save --no-cache]
    sh "yard", "doc", "--no-output", "--no-stats", "--fail-on-warning", *options
    statistics = `yard stats --list-undoc #{options.join(" ")}`
    abort(statistics) if statistics.lines.grep_v(/\AConstants/).grep(/\(\s*[1-9]\d* undocumented\)/).any?
    puts "everything public is documented"
  end

  desc "Fail unless everything used has a licence that lets anybody use it and is listed, and no crate is withdrawn"
  task :licences do
    record = LicenceRecord.of_project
    complaints = record.complaints
    abort(complaints.join("\n")) if complaints.any?
    puts record.summary
  end

  desc "Fail where SQL is put together while the program runs"
  task :sql do
    texts = SqlTexts.new
    abort(texts.complaints.join("\n")) if texts.complaints.any?
    puts "no SQL is put together in #{texts.size} files"
  end
end

desc "List the licences of all crates and gems in docs/licences.md; needs their sources: cargo fetch"
task :licences do
  LicenceRecord.of_project.write
end
