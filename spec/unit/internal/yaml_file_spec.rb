# frozen_string_literal: true

RSpec.describe TaskerCore::Internal::YamlFile do
  around { |example| Dir.mktmpdir { |folder| (@folder = folder) && example.run } }

  def path(name = "a.yaml")
    File.join(@folder, name)
  end

  def read(content)
    File.binwrite(path, content)
    described_class.read(path)
  end

  def refusal(message, line: nil)
    place = line ? "#{path}:#{line}: " : "#{path}: "
    raise_error(TaskerCore::InvalidTemplate) { |error|
      expect(error.message).to start_with(place).and match(message)
      expect(error.details).to eq({ "file" => path, "line" => line }.compact)
    }
  end

  it "reads a mapping" do
    expect(read("name: ä\n")).to eq("name" => "ä")
  end

  it "reads a file that begins with a byte order mark" do
    expect(read("\uFEFFname: x\n")).to eq("name" => "x")
  end

  it "reads a file of exactly the largest size and refuses one byte more" do
    filler = "#" * (described_class::MAX_BYTES - 5)

    expect(read("a: 1\n#{filler}")).to eq("a" => 1)
    expect { read("a: 1\n##{filler}") }.to refusal(/larger than 1048576 bytes/)
  end

  { "" => /nothing/, "- a" => /a list/, "just text" => /one value/ }.each do |content, message|
    it "refuses #{content.inspect}, which is no mapping" do
      expect { read(content) }.to refusal(message)
    end
  end

  it "refuses what is not UTF-8, naming the line" do
    expect { read("a: 1\nb: \xFF\n".b) }.to refusal(/is not UTF-8/, line: 2)
    expect { read("a: 1".encode("UTF-16").b) }.to refusal(/is not UTF-8/, line: 1)
  end

  it "refuses what is no YAML, naming the line" do
    expect { read("a: 1\nb: [1\nc: 2\n") }.to refusal(/did not find expected/, line: 2)
    expect { read("a: \u0001") }.to refusal(/control characters/, line: 1)
  end

  it "refuses a file that does not exist, a folder, and what is no file at all" do
    expect { described_class.read(path("none.yaml")) }
      .to raise_error(TaskerCore::InvalidTemplate, "#{path("none.yaml")}: cannot be read: No such file or directory")
    expect { described_class.read(@folder) }.to raise_error(TaskerCore::InvalidTemplate, /is not a regular file/)
    expect { described_class.read("a\0b") }.to raise_error(TaskerCore::InvalidTemplate, /cannot be read/)
  end

  it "does not wait for a pipe that nobody writes to", timeout: 5 do
    File.mkfifo(path)

    expect { described_class.read(path) }.to refusal(/is not a regular file/)
  end
end
