# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::YamlBuilder do
  def build(text)
    described_class.new("a.yaml").build(text)
  end

  {
    "a: 1\nb: [x, 2.5, true, ~]" => { "a" => 1, "b" => ["x", 2.5, true, nil] },
    "a:\n  b:\n    - c: 1\n    - d: {e: f}" => { "a" => { "b" => [{ "c" => 1 }, { "d" => { "e" => "f" } }] } },
    "'1': \"2\"\n\"true\": 'it''s'" => { "1" => "2", "true" => "it's" },
    "a: |\n  two\n  lines\n" => { "a" => "two\nlines\n" },
    "a: '2026-01-31'\nb: ':sym'" => { "a" => "2026-01-31", "b" => ":sym" },
    "a: \"\\u00e9 é\"" => { "a" => "é é" }, "a:" => { "a" => nil },
    "[]" => [], "text" => "text", "" => nil, "# nothing" => nil
  }.each do |text, value|
    it "reads #{text.inspect}" do
      expect(build(text)).to eq(value)
    end
  end

  {
    "a: 1\nb: !ruby/object:Object {}" => ["a.yaml:2: ", 'tag "!ruby/object:Object"'],
    "a: !!str 1" => ["a.yaml:1: ", "tag"], "a: !x [1]" => ["a.yaml:1: ", 'tag "!x"'],
    "a: &x 1" => ["a.yaml:1: ", "anchors (&) and aliases (*)"], "a: &x {}" => ["a.yaml:1: ", "anchors"],
    "a: &x []" => ["a.yaml:1: ", "anchors"], "a: *x" => ["a.yaml:1: ", "aliases"],
    "a:\n  b: 2026-01-31" => ["a.yaml:2: ", '"2026-01-31" would be read as a date or a symbol; put it in quotes'],
    "a: 2026-01-31 12:00:00" => ["a.yaml:1: ", "date"], "a: :sym" => ["a.yaml:1: ", '":sym"'],
    "a: 1\nb: 2\na: 3" => ["a.yaml:3: ", 'key "a" is given twice, first in line 1'],
    "x:\n  - {a: 1, a: 2}" => ["a.yaml:2: ", 'key "a" is given twice'],
    "on: 1" => ["a.yaml:1: ", "key true is not text"], "1: 1" => ["a.yaml:1: ", "key 1 is not text"],
    "~: 1" => ["a.yaml:1: ", "key nil is not text"], "? [1]\n: 2" => ["a.yaml:1: ", "not a mapping or list"],
    "? {a: 1}\n: 2" => ["a.yaml:1: ", "not a mapping or list"],
    "a: 1\n---\nb: 2" => ["a.yaml:2: ", "a second document begins here"]
  }.each do |text, (place, problem)|
    it "refuses #{text.inspect}, naming file and line" do
      expect { build(text) }.to raise_error(TaskerCore::InvalidTemplate) { |error|
        expect(error.message).to start_with(place).and include(problem)
        expect(error.details).to eq("file" => "a.yaml", "line" => place[/\d+/].to_i)
      }
    end
  end

  it "lets equal keys stand in different mappings" do
    expect(build("- {a: 1}\n- {a: {a: 2}}")).to eq([{ "a" => 1 }, { "a" => { "a" => 2 } }])
  end

  it "reads nesting as deep as the limit and refuses more" do
    expect(build("#{"[" * 100}#{"]" * 100}").flatten).to eq([])
    expect { build("#{"[" * 101}#{"]" * 101}") }.to raise_error(TaskerCore::InvalidTemplate, /nested more than 100/)
  end

  ["[" * 1_000_000, "{a: " * 250_000, "- " * 500_000].each do |bomb|
    it "refuses #{bomb[0, 4].inspect} repeated without building it", timeout: 5 do
      expect { build(bomb) }.to raise_error(TaskerCore::InvalidTemplate, /nested more than/)
    end
  end

  it "leaves what is no YAML to Psych's own error" do
    expect { build("a: [") }.to raise_error(Psych::SyntaxError)
  end
end
