# frozen_string_literal: true

require "pathname"
require "rbconfig"

# Writes a Makefile that builds the extension with cargo, for the three that call it: RubyGems
# (`make clean`, `make`, `make install` with its own sitearchdir), rake-compiler (`make`, `make
# install target_prefix=`) and people.
#
# Variables of the environment that count when make runs: CARGO, the program; RB_SYS_CARGO_PROFILE,
# "release" (default) or "dev"; CARGO_TARGET_DIR, a folder to build in and to keep. Without the last
# one the build happens in the folder `target` beside the Makefile, which is deleted by the install:
# some 600 MB that nobody needs again.
#
# What build scripts of crates watch must be the same however a build is started (rake, gem, cargo),
# or each way would begin from nothing: RUBY is not passed on, and neither is SOURCE_DATE_EPOCH, which
# RubyGems sets to the time of the installation.
class CargoMakefile
  TEMPLATE = <<~'MAKEFILE'
    .DEFAULT_GOAL := all
    unexport SOURCE_DATE_EPOCH

    CARGO ?= %<cargo>s
    RB_SYS_CARGO_PROFILE ?= release
    ifeq ($(strip $(CARGO_TARGET_DIR)),)
    TARGET := $(CURDIR)/target
    PRIVATE_TARGET := $(TARGET)
    else
    TARGET := $(CARGO_TARGET_DIR)
    endif

    DESTDIR =
    sitearchdir = %<sitearchdir>s
    target_prefix = %<target_prefix>s
    FOLDER = $(DESTDIR)$(sitearchdir)$(target_prefix)
    BUILT = $(TARGET)/$(if $(filter dev,$(RB_SYS_CARGO_PROFILE)),debug,$(RB_SYS_CARGO_PROFILE))/%<artefact>s

    .PHONY: all install clean distclean realclean FORCE

    all: %<extension>s

    # Cargo finds out whether there is anything to do.
    %<extension>s: FORCE
    	+"$(CARGO)" rustc --locked --lib --manifest-path "%<manifest>s" --target-dir "$(TARGET)" --profile "$(RB_SYS_CARGO_PROFILE)" %<link_arguments>s
    	cmp -s "$(BUILT)" "$@" || cp "$(BUILT)" "$@"

    install: %<extension>s
    	mkdir -p "$(FOLDER)"
    	cmp -s "%<extension>s" "$(FOLDER)/%<extension>s" || install -m 0755 "%<extension>s" "$(FOLDER)/%<extension>s"
    	$(if $(PRIVATE_TARGET),rm -rf "$(PRIVATE_TARGET)")

    clean:
    	rm -f "%<extension>s"

    distclean realclean: clean
    	rm -f Makefile
    	$(if $(PRIVATE_TARGET),rm -rf "$(PRIVATE_TARGET)")
  MAKEFILE

  # @param target [String] the path by which Ruby requires the extension
  # @param folder [String] the folder with the extension's Cargo.toml
  def initialize(target, folder: __dir__)
    @prefix, @name = File.split(target)
    @folder = folder
  end

  # @return [void]
  def write
    File.write("Makefile", format(TEMPLATE, cargo: cargo, manifest: manifest, sitearchdir: sitearchdir,
                                            target_prefix: "/#{@prefix}", extension: "#{@name}.#{config("DLEXT")}",
                                            artefact: artefact, link_arguments: link_arguments))
  end

  private

  def config(key)
    RbConfig::CONFIG.fetch(key)
  end

  # As mkmf has it, which RubyGems and rake-compiler change to where they want the extension.
  def sitearchdir
    RbConfig.expand(RbConfig::MAKEFILE_CONFIG.fetch("sitearchdir").dup)
  end

  def cargo
    return ENV.fetch("CARGO") if ENV.key?("CARGO")

    folders = ENV.fetch("PATH", "").split(File::PATH_SEPARATOR) << File.join(Dir.home, ".cargo", "bin")
    programs = folders.map { |folder| File.join(folder, "cargo#{config("EXEEXT")}") }
    programs.find { |path| File.executable?(path) } ||
      abort("cargo was not found; install Rust 1.88 or newer: https://www.rust-lang.org/tools/install")
  end

  # Relative, so that a checkout may be moved.
  def manifest
    Pathname.new(@folder).join("Cargo.toml").relative_path_from(Pathname.pwd.realpath)
  end

  def artefact
    "lib#{@name}.#{config("SOEXT")}"
  end

  # macOS refuses unknown symbols in a library otherwise; Ruby itself brings them.
  def link_arguments
    config("host_os").include?("darwin") ? "-- -C link-arg=-Wl,-undefined,dynamic_lookup" : ""
  end
end

# Has the name and the argument of what the gem rb_sys offers.
#
# @param target [String] the path by which Ruby requires the extension
# @return [void]
def create_rust_makefile(target)
  CargoMakefile.new(target).write
end
