# frozen_string_literal: true

require_relative "locked_crates"

# The page that lists the licence of everything that this project uses: crates of the lock files, and gems that the gem
# needs. It is written where the sources of all crates are; whether it is current can be told without them.
class LicenceRecord
  # A line of a table: crate, version, licence.
  ROW = /^\| (\S+) \| (\S+) \| (.+) \|$/.freeze

  # @return [LicenceRecord]
  def self.of_project
    own = LockedCrates.new("Cargo.lock")
    apalis = LockedCrates.new("bench/peers/apalis/Cargo.lock", installed: false)
    locks = { "Crates of the gem, its tests and its benches" => own, "Crates of the comparison with apalis" => apalis }
    new("docs/licences.md", locks, Gem::Specification.load("tasker_core.gemspec"))
  end

  # @param path [String]
  # @param locks [Hash{String => LockedCrates}] by what they are for, the headings of the page
  # @param gemspec [Gem::Specification]
  def initialize(path, locks, gemspec)
    @path = path
    @locks = locks
    @gemspec = gemspec
  end

  # Writes the page.
  #
  # @return [void]
  def write
    File.write(@path, page)
  end

  # @return [Array<String>] one sentence for each crate or gem whose licence is not allowed, for each crate that was
  #   withdrawn, and one where the page is not that of the lock files and the gemspec
  def complaints
    recorded = File.exist?(@path) ? File.read(@path) : ""
    stale = "#{@path} is not current: run cargo fetch --locked and rake licences" if page(recorded) != recorded
    [*wrong_licences(recorded), *@locks.values.flat_map(&:complaints), *stale].uniq
  end

  # @return [String] what was looked at
  def summary
    counts = @locks.values.map { |lock| "#{lock.crates.size} crates of #{lock.path}" }
    "permissive licences: #{[*counts, "#{gems.size} gems"].join(", ")}"
  end

  private

  # What crates are listed as is taken for true where there is no source to ask.
  def page(recorded = "")
    known = listed(recorded)
    tables = @locks.map { |what, lock| "## #{what}\n\n`#{lock.path}`:\n\n#{table(licences(lock, known))}" }
    "#{<<~TEXT}#{tables.join("\n")}\n#{gem_section}"
      # Licences

      Every crate and gem that is used, with its licence as its authors state it. `rake licences` writes this page from the lock
      files, and `rake lint:licences` fails where it is not current, or where a licence restricts its use.

    TEXT
  end

  def gem_section
    return "## Gems\n\nThe gem needs no other one at run time.\n" if gems.empty?

    "## Gems that the gem needs at run time\n\n#{table(gem_licences)}"
  end

  # A gem may be used in any of several versions.
  def gem_licences
    gems.map { |gem| [gem.name, "any", gem.licenses.join(" OR ")] }
  end

  def gems
    @gems ||= @gemspec.runtime_dependencies.map { |dependency| Gem::Specification.find_by_name(dependency.name) }
  end

  def table(rows)
    [%w[name version licence], %w[---] * 3, *rows].map { |row| "| #{row.join(" | ")} |\n" }.join
  end

  def licences(lock, known)
    lock.crates.map { |crate| [crate.name, crate.version, lock.licence(crate) || known[crate.to_s] || "unknown"] }
  end

  def listed(page)
    page.scan(ROW).to_h { |name, version, licence| ["#{name} #{version}", licence] }
  end

  def wrong_licences(recorded)
    known = listed(recorded)
    rows = @locks.values.flat_map { |lock| licences(lock, known) } + gem_licences
    rows.uniq.reject { |_, _, licence| LockedCrates.allowed?(licence) }.map do |name, version, licence|
      "#{name} #{version}: licence #{licence.inspect}, allowed: #{LockedCrates::ALLOWED.join(", ")}"
    end
  end
end
