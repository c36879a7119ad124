# frozen_string_literal: true

require "fileutils"
require "tmpdir"
require_relative "../../../rakelib/sql_texts"

RSpec.describe SqlTexts do
  def complaints(file, text, allowed: {})
    Dir.mktmpdir do |folder|
      path = File.join(folder, file)
      FileUtils.mkdir_p(File.dirname(path))
      File.write(path, text)
      return described_class.new(folder, allowed: allowed).complaints
    end
  end

  {
    "src/a.rs" => ["sqlx::query(text)", "sqlx::query_as::<_, Row>(&text)", "query_scalar(text)", "raw_sql(&text)",
                   "QueryBuilder::new(start)", "pool.execute(&*format!(\"{a}\"))", "connection.fetch_all(sql)",
                   "connection.execute(\n\"SET a = 1\")", "format!(\"SELECT {column} FROM t\")"],
    "lib/a.rb" => ["query(\"DELETE FROM t WHERE a = '\#{name}'\")", "run(<<~SQL)"]
  }.each do |file, codes|
    codes.each do |code|
      it "refuses #{code.inspect}" do
        expect(complaints(file, "\n#{code}\n")).to include(start_with("#{file}:2: "))
      end
    end
  end

  it "says nothing of statements that stand in files or literals" do
    code = "sqlx::query!(\"SELECT $1\", a).execute(&mut **tx); query_file!(\"a.sql\", b)"
    expect(complaints("src/a.rs", code)).to eq([])
    expect(complaints("lib/a.rb", "puts \"SELECT it: \", name")).to eq([])
  end

  it "looks at code that ships, and not at its tests" do
    expect(complaints("spec/a.rb", "<<~SQL")).to eq([])
    expect(complaints("src/a/tests.rs", "sqlx::query(text)")).to eq([])
    expect(complaints("src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests { sqlx::query(text) }")).to eq([])
  end

  it "knows exceptions, and names those that nothing needs" do
    exception = { ["src/a.rs", "raw_sql("] => "a reason" }
    expect(complaints("src/a.rs", "raw_sql(text)", allowed: exception)).to eq([])
    expect(complaints("src/a.rs", "", allowed: exception)).to match([/nothing needs the exception for raw_sql/])
  end
end
