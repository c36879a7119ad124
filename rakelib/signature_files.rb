# frozen_string_literal: true

# The signatures in sig against the files in lib: one for each file, and a line for each
# method. Whether the types exist is for RBS to say.
class SignatureFiles
  # @param library [String] the folder with the code
  # @param signatures [String] the folder with the signatures
  def initialize(library = "lib", signatures = "sig")
    @library = library
    @signatures = signatures
  end

  # @return [Array<String>] one sentence for each thing that is missing
  def complaints
    code = names(@library, ".rb")
    signatures = names(@signatures, ".rbs")
    (code - signatures).map { |name| "no signature for #{@library}/#{name}.rb" } +
      (signatures - code).map { |name| "no code for #{@signatures}/#{name}.rbs" } +
      (code & signatures).flat_map { |name| unsigned(name) }
  end

  # @return [Integer] how many there are
  def size
    names(@signatures, ".rbs").size
  end

  private

  def names(folder, extension)
    Dir.glob("**/*#{extension}", base: folder).map { |file| file.delete_suffix(extension) }
  end

  # The other way is not asked for: interfaces and native methods have signatures and no code.
  def unsigned(name)
    defined = words("#{@library}/#{name}.rb", /^\s*(?:private_class_method )?def (?:self\.)?([^\s(;]+)/)
    signed = words("#{@signatures}/#{name}.rbs", /^\s*def (?:self\??\.)?([^\s:]+):/)
    (defined - signed).map { |method| "#{@signatures}/#{name}.rbs has no #{method}" }
  end

  def words(file, pattern)
    File.read(file).scan(pattern).flatten.uniq
  end
end
