# frozen_string_literal: true

require "digest"
require "tmpdir"

# Template files that somebody damaged, or wrote to do harm: read, or refused at once with a short message. Those that
# once did harm are kept in spec/fixtures/hostile_yaml, and a file that fails here is written to that folder.
RSpec.describe TaskerCore::Internal::YamlFile do
  # Seconds for one file, on a busy machine.
  patience_seconds = 5
  longest_message = 3_000

  around do |example|
    Dir.mktmpdir do |folder|
      @path = File.join(folder, "template.yaml")
      example.run
    end
  end

  define_method :read do |text|
    File.binwrite(@path, text)
    start = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    TaskerCore::TaskTemplate.load_file(@path, environment: "test")
  rescue TaskerCore::InvalidTemplate => e
    expect(e.message.bytesize).to be < longest_message
    expect(e.details.to_s.bytesize).to be < longest_message
    e
  ensure
    expect(Process.clock_gettime(Process::CLOCK_MONOTONIC) - start).to be < patience_seconds
  end

  sample = File.read(File.expand_path("../../fixtures/templates/reconcile_invoice.yaml", __dir__))
  pieces = ["", " ", "\n", "\t", "- ", ": ", "[", "{", "&a ", "*a", "!ruby/object:Object ", "!!binary ", "|", ">", "\"",
            "'", "\0", "\xFF", "é", "%", "---\n", "...\n", "? ", "<<: ", "2024-01-01", "1e999", "0x1F", ".nan", "~",
            "yes", ":sym", "9" * 400].freeze

  kept = File.expand_path("../../fixtures/hostile_yaml", __dir__)

  Dir.children(kept).sort.each do |name|
    it "answers #{name}, which is kept" do
      read(File.binread(File.join(kept, name)))
    end
  end

  it "answers whatever is damaged in a file" do
    random = Random.new(RSpec.configuration.seed)
    300.times do
      text = sample.b
      random.rand(1..5).times do
        text[random.rand(text.bytesize + 1), random.rand(6)] = pieces.sample(random: random).b
      end
      read(text)
    rescue StandardError, RSpec::Expectations::ExpectationNotMetError => e
      path = File.join(kept, "#{Digest::SHA256.hexdigest(text)[0, 12]}.yaml")
      File.binwrite(path, text)
      raise "#{e.class}: #{e.message} with seed #{RSpec.configuration.seed}, for what is in #{path}"
    end
  end

  {
    "lists in lists" => "[" * 500_000,
    "mappings in mappings" => "{a: " * 250_000,
    "dashes" => "- " * 500_000,
    "questions" => "? " * 500_000,
    "indented keys" => (0..1_000).map { |level| "#{" " * level}a:\n" }.join,
    "an alias that doubles" => "a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "a large number" => "name: #{"9" * 1_000_000}",
    "a large number with a sign" => "name: +#{"1_" * 500_000}",
    "a large fraction" => "name: 0.#{"1" * 1_000_000}",
    "a large exponent" => "name: 1e#{"9" * 1_000_000}",
    "a large base 60 number" => "name: #{"1:" * 500_000}1",
    "a large date" => "name: 2001-#{"1" * 1_000_000}-1",
    "a large word" => "name: #{"x" * 1_000_000}",
    "a large key" => "#{"x" * 1_000_000}: 1",
    "a large quoted key" => "\"#{"x" * 1_000_000}\": 1",
    "many keys" => (0..80_000).map { |number| "k#{number}: 1\n" }.join,
    "many documents" => "--- 1\n" * 100_000,
    "many comments" => "# x\n" * 200_000,
    "many steps without a name" => "name: x\nstep_templates:\n#{"- {}\n" * 150_000}",
    "many steps of an environment" =>
      "name: x\nstep_templates: [#{"{name: a}," * 50_000}]\n" \
      "environments: {test: {step_templates: [#{(0...30_000).map { |number| "{name: s#{number}}" }.join(",")}]}}",
    "many steps, each of which an environment changes" => [1, 2].inject("name: x\n") do |text, part|
      steps = (0...30_000).map { |number| "{name: s#{number}}" }.join(",")
      text + (part == 1 ? "step_templates: [#{steps}]\n" : "environments: {test: {step_templates: [#{steps}]}}")
    end,
    "an environment with a large name" => "name: x\nenvironments: {#{"e" * 900_000}: 7}",
    "a large step of an environment" =>
      "name: x\nstep_templates: [{name: a}]\nenvironments: {test: {step_templates: [{name: #{"e" * 900_000}}]}}",
    "a large tag" => "!#{"x" * 1_000_000} 1",
    "a large anchor" => "&#{"x" * 1_000_000} 1",
    "escapes" => "\"#{"\\x41" * 200_000}\": 1",
    "a broken escape" => "name: \"\\uD800\"",
    "nothing but bytes" => (0..255).to_a.pack("C*") * 1_000
  }.each do |what, text|
    it "refuses #{what}" do
      expect(read(text)).to be_a(TaskerCore::InvalidTemplate)
    end
  end
end
