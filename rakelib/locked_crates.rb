# frozen_string_literal: true

require "json"
require "open3"

# The crates of Cargo.lock: their licences, and whether one was withdrawn ("yanked"). Reads what
# cargo has already downloaded and asks nobody: crates that only other platforms need may not be
# there, and are counted.
class LockedCrates
  # Licences that let anybody use, change and pass on a program (names of the SPDX list).
  ALLOWED = %w[
    0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0 CC0-1.0 ISC MIT MIT-0 Unicode-3.0 Unlicense Zlib
  ].freeze

  # @return [Array<String>] one sentence for each crate that must not be used
  def complaints
    packages.flat_map { |package| [refused_licence(package), withdrawn(package)].compact }
  end

  # @return [String] what was looked at
  def summary
    locked = File.read("Cargo.lock").scan(/^\[\[package\]\]/).size
    "#{packages.size} of #{locked} crates have a permissive licence" \
      "#{" (the others are for other platforms and not here)" if packages.size < locked}"
  end

  # @param expression [String] as in Cargo.toml: "MIT OR Apache-2.0", "(MIT OR ISC) AND Zlib"
  # @return [Boolean] it leaves a choice that is allowed
  def allowed?(expression)
    plain = expression.gsub(/\s+WITH\s+[\w.-]+/, "")
    plain = plain.sub(/\(([^()]*)\)/) { allowed?(Regexp.last_match(1)) ? "MIT" : "none" } while plain.include?("(")
    choices = plain.split(%r{\s+OR\s+|\s*/\s*}) # some authors write "/" for "OR"
    choices.any? { |choice| choice.split(/\s+AND\s+/).all? { |name| ALLOWED.include?(name.strip) } }
  end

  private

  def packages
    @packages ||= metadata("--filter-platform", host)
  end

  def metadata(*options)
    output, status = Open3.capture2("cargo", "metadata", "--offline", "--locked", "--format-version", "1", *options)
    abort("cargo metadata failed") unless status.success?
    JSON.parse(output)["packages"]
  end

  def host
    Open3.capture2("rustc", "-vV").first[/^host: (.+)/, 1]
  end

  def label(package)
    "#{package["name"]} #{package["version"]}"
  end

  def refused_licence(package)
    licence = package["license"].to_s
    "#{label(package)}: licence #{licence.inspect}, allowed: #{ALLOWED.join(", ")}" unless allowed?(licence)
  end

  def withdrawn(package)
    entries = published(package["name"]).select { |entry| entry["vers"] == package["version"] }
    "#{label(package)} was withdrawn by its authors" if entries.any? { |entry| entry["yanked"] }
  end

  # Cargo keeps what the registry says about a crate: a JSON object for each version, between zero
  # bytes, in a file whose folder depends on the name.
  def published(name)
    folder = name.size > 3 ? [name[0, 2], name[2, 2]] : [name.size.to_s, *(name[0] if name.size == 3)]
    Dir.glob(File.join(cargo_home, "registry", "index", "*", ".cache", *folder, name)).flat_map do |file|
      File.binread(file).split("\0").grep(/\A\{/).map { |text| JSON.parse(text) }
    end
  end

  def cargo_home
    ENV.fetch("CARGO_HOME", File.join(Dir.home, ".cargo"))
  end
end
