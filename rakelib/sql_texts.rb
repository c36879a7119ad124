# frozen_string_literal: true

# Looks for SQL that is put together while the program runs. Statements stand in files or literals, which sqlx
# checks when it compiles them, and values are passed beside them: so nothing that a user writes becomes SQL.
class SqlTexts
  # Verbs that begin a statement.
  VERBS = "SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|TRUNCATE|COPY|GRANT|NOTIFY|LISTEN|SET|DO|CALL|EXECUTE|WITH"
  # What is not allowed, by the ending of the file: a pattern, and what is wrong with it.
  PATTERNS = {
    ".rs" => {
      /\b(?:query|query_as|query_scalar|query_with)(?:::<[^>]*>)?\(/ => "a statement that sqlx does not check",
      /\braw_sql\(|\bQueryBuilder\b|\bAssertSqlSafe\b/ => "a statement that sqlx does not check",
      /\.(?:execute|execute_many|fetch|fetch_all|fetch_one|fetch_optional|prepare)\(\s*(?:&?\*?format!|"|&?\w*sql)/ =>
        "text that is executed as it is",
      /\b(?:format|concat|write)!\([^;]*?"(?:#{VERBS})\b/ => "a statement that is put together"
    },
    ".rb" => {
      /["`](?:#{VERBS})\b[^"`\n]*\#\{/ => "a statement that is put together",
      /<<[~-]?SQL/ => "SQL in Ruby"
    }
  }.freeze
  # Where it is right, and why: the file, the text, the reason.
  ALLOWED = {
    ["src/store/migrate.rs", "raw_sql("] => "the migrations, which are compiled into the library",
    ["src/store/sessions.rs", "raw_sql("] => "a literal; a prepared statement is what a pooler may not pass on",
    ["src/store/sessions.rs", "format!(\"SELECT"] => "names and values of settings, each as a literal",
    ["src/store/pool.rs", "raw_sql("] => "settings of the engine's and from the database's URL, each as a literal",
    ["lib/tasker_core/internal/postgres_cluster.rb", "\"SELECT 1 FROM pg_database WHERE datname = '\#{"] =>
      "the name is a constant of the embedded Postgres",
    ["lib/tasker_core/internal/postgres_cluster.rb", "\"CREATE DATABASE \#{"] => "as above",
    ["lib/tasker_core/testing/memory.rb", "\"CREATE DATABASE \#{"] => "a constant of the test kit, and a number",
    ["lib/tasker_core/testing/memory.rb", "\"DROP DATABASE \#{"] => "as above",
    ["lib/tasker_core/testing/inline/session.rb", "\"SELECT \#{"] =>
      "names of settings, as literals that the engine has written, and values as literals of libpq's",
    ["lib/tasker_core/testing/inline/worker.rb", "\"SELECT 1 FROM tasker_workflow_steps"] =>
      "two numbers of the engine's; the session's own messages have no parameters"
  }.freeze
  # What is looked at: code that ships.
  FILES = "{src,ext,lib,exe,app}/**/*.{rs,rb}"

  # Where the tests of a Rust file begin.
  TESTS = /^#\[cfg\(test\)\]$/.freeze

  # @param folder [String]
  # @param allowed [Hash{Array<String> => String}] as {ALLOWED}
  def initialize(folder = ".", allowed: ALLOWED)
    @folder = folder
    @allowed = allowed
    @used = []
  end

  # @return [Array<String>] one sentence for each place, and for each exception that nothing needs
  def complaints
    found = files.flat_map { |file| faults(file) }
    unused = @allowed.keys - @used
    found + unused.map { |file, text| "#{file}: nothing needs the exception for #{text} any more" }
  end

  # @return [Integer] how many files are looked at
  def size
    files.size
  end

  private

  def files
    @files ||= Dir.glob(FILES, base: @folder).grep_v(%r{/tests(?:/|\.rs\z)}).sort
  end

  def faults(file)
    text = File.read(File.join(@folder, file)).partition(TESTS).first
    PATTERNS.fetch(File.extname(file)).flat_map do |pattern, problem|
      places(text, pattern).reject { |place, _| allowed?(file, place) }
                           .map { |place, line| "#{file}:#{line}: #{problem}: #{place.strip}" }
    end
  end

  def places(text, pattern)
    text.enum_for(:scan, pattern).map do
      match = Regexp.last_match
      [match[0], match.pre_match.count("\n") + 1]
    end
  end

  def allowed?(file, place)
    key = @allowed.keys.find { |name, text| name == file && place.start_with?(text) }
    @used |= [key] if key
    !key.nil?
  end
end
