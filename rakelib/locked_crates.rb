# frozen_string_literal: true

require "json"

# The crates of a Cargo.lock: their licences, and whether one was withdrawn ("yanked"). Reads what cargo has downloaded
# and asks nobody: the sources of crates that only other platforms need may not be there.
class LockedCrates
  # Licences that let anybody use, change and pass on a program (names of the SPDX list).
  ALLOWED = %w[
    0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0 CC0-1.0 CDLA-Permissive-2.0 ISC MIT MIT-0 Unicode-3.0 Unlicense
    Zlib
  ].freeze

  # How the text of a licence begins, for crates that bring the text and no name.
  TEXTS = { "MIT License" => "MIT" }.freeze

  # A crate of a registry.
  Crate = Struct.new(:name, :version) do
    # @return [String] such as "serde 1.0.200"
    def to_s
      "#{name} #{version}"
    end
  end

  # @param expression [String] as in Cargo.toml: "MIT OR Apache-2.0", "(MIT OR ISC) AND Zlib"
  # @return [Boolean] it leaves a choice that is allowed
  def self.allowed?(expression)
    plain = expression.gsub(/\s+WITH\s+[\w.-]+/, "")
    plain = plain.sub(/\(([^()]*)\)/) { allowed?(Regexp.last_match(1)) ? "MIT" : "none" } while plain.include?("(")
    choices = plain.split(%r{\s+OR\s+|\s*/\s*}) # some authors write "/" for "OR"
    choices.any? { |choice| choice.split(/\s+AND\s+/).all? { |name| ALLOWED.include?(name.strip) } }
  end

  # @return [String] path of the Cargo.lock
  attr_reader :path

  # @param path [String]
  # @param cargo_home [String] where cargo keeps what it downloads
  # @param installed [Boolean] cargo has built or fetched what is locked, as it has where the gem is compiled
  def initialize(path, installed: true, cargo_home: ENV.fetch("CARGO_HOME", File.join(Dir.home, ".cargo")))
    @path = path
    @installed = installed
    @cargo_home = cargo_home
  end

  # @return [Array<Crate>] without those of this project
  def crates
    @crates ||= File.read(path).split("[[package]]").grep(/^source = "registry/).map do |entry|
      Crate.new(entry[/^name = "(.+)"/, 1], entry[/^version = "(.+)"/, 1])
    end
  end

  # @param crate [Crate]
  # @return [String, nil] what its Cargo.toml says, "" where that is nothing; nil: its source is not here
  def licence(crate)
    folder = Dir.glob(File.join(@cargo_home, "registry/src/*/#{crate.name}-#{crate.version}")).first or return
    manifest = File.read(File.join(folder, "Cargo.toml"))
    name, file = %w[license license-file].map { |key| manifest[/^#{key} = "(.+)"/, 1] }
    name || (file && TEXTS[File.foreach(File.join(folder, file)).first.strip]).to_s
  end

  # @return [Array<String>] one sentence for each crate that was withdrawn, or of which that is not known
  def complaints
    crates.filter_map do |crate|
      entry = published(crate)
      next "#{crate} was withdrawn by its authors" if entry && entry["yanked"]
      next if entry || !@installed

      "#{crate}: cargo's copy of the registry's index does not have it, so nobody can tell whether it was withdrawn; " \
        "run cargo fetch --locked"
    end
  end

  private

  # @return [Hash, nil] what the registry says of this version, the worst first where cargo knows several
  def published(crate)
    entries = index_files(crate.name).flat_map { |file| entries_in(file) }
    entries.select { |entry| entry["vers"] == crate.version }.min_by { |entry| entry["yanked"] ? 0 : 1 }
  end

  # Cargo keeps what the registry says about a crate in a file whose folder depends on the name.
  def index_files(name)
    folder = name.size > 3 ? [name[0, 2], name[2, 2]] : [name.size.to_s, *(name[0] if name.size == 3)]
    Dir.glob(File.join(@cargo_home, "registry", "index", "*", ".cache", *folder, name))
  end

  # A JSON object for each version, between zero bytes.
  def entries_in(file)
    File.binread(file).split("\0").grep(/\A\{/).map { |text| JSON.parse(text) }
  end
end
