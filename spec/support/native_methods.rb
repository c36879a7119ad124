# frozen_string_literal: true

# The methods of the native extension as their signatures describe them, and what can be wrong with an argument.
module NativeMethods
  SIGNATURES = File.expand_path("../../sig/tasker_core/internal/bridge.rbs", __dir__)
  # Arguments of the right type that do no harm.
  FITTING = { "Integer" => 1, "Integer?" => nil, "Float" => 0.5, "String" => "{}", "String?" => nil }.freeze
  # They end what the others need.
  LAST = %i[migrate hurry drain stop close].freeze

  # A method: its name, and the types of its arguments.
  Signature = Struct.new(:name, :types) do
    # @return [Array<Object>]
    def fitting
      types.map { |type| FITTING.fetch(type) }
    end

    # @param values [Array<Object>]
    # @return [Array<Array<Object>>] arguments, each with one of the values in one place, and one too few and too many
    def wrong(values)
      places = types.each_index.to_a.product(values)
      replaced = places.map { |place, value| fitting.tap { |arguments| arguments[place] = value } }
      [*replaced, fitting[0...-1], fitting + [nil]]
    end
  end

  # Looks and behaves unlike anything.
  class Contrary
    def to_str
      raise "no text"
    end

    def to_int
      raise "no number"
    end

    def inspect
      raise "not shown"
    end
  end

  # Says that it is text, and is something else.
  class Liar
    def to_str
      7
    end

    def to_int
      "7"
    end
  end

  module_function

  # @param class_name [String, nil] nil: the methods of the module itself
  # @return [Array<Signature>] methods of an instance, those that end it last
  def of_instances(class_name)
    read(class_name, /^ +def (\w+): \((.*?)\)/).sort_by { |signature| LAST.index(signature.name) || -1 }
  end

  # @param class_name [String, nil] nil: the methods of the module itself
  # @return [Array<Signature>]
  def of_class(class_name)
    read(class_name, /^ +def self\.(\w+): \((.*?)\)/)
  end

  # @return [Array<Object>] made anew
  def wrong_values
    [nil, true, :symbol, 1.5, Float::NAN, -Float::INFINITY, 3r, 2i, Object.new, BasicObject.new, Class.new,
     Contrary.new, Liar.new, proc {}, [], ["{}"], {}, { "a" => 1 }, $stdin, 1..2, *wrong_numbers, *wrong_texts]
  end

  # @return [Array<Integer>]
  def wrong_numbers
    bounds = [0, 2**20, 2**31, 2**32, 2**43, 2**44, 2**63, 2**64, 10**400]
    bounds.flat_map { |bound| [bound - 1, bound, -bound] }
  end

  # @return [Array<String>]
  def wrong_texts
    ["", " ", "\0", "{\"a\": \"\0\"}", "nul \0 inside", "\xFF", "\xED\xA0\x80", "{".b, "{}".encode("UTF-16LE"),
     "é".encode("ISO-8859-1"), "{}".dup.force_encoding("UTF-32BE"), "{}", "{\"a\":", "[]", "null", "1e999999999",
     "\"\\ud800\"", "[" * 100_000, "x" * 5_000_000, "{\"#{"k" * 1_000_000}\": 1}", Class.new(String).new("{}"),
     "{\"url\": \"postgres://tasker:s3cret@127.0.0.1:1/none\", \"connect_timeout_ms\": 1}"].map(&:freeze)
  end

  # @api private
  def read(class_name, pattern)
    text = File.read(SIGNATURES)[/module Bridge\n.*/m]
    text = class_name ? text[/class #{class_name}\n(.*?)\n {6}end/m, 1] : text[/.*?(?=\n +class )/m]
    text.scan(pattern).map do |name, arguments|
      Signature.new(name.to_sym, arguments.split(", ").map { |argument| argument[/\A\S+/] })
    end
  end
end
