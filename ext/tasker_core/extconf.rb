# frozen_string_literal: true

# First, because rake-compiler puts what it needs for other platforms into it.
require "mkmf"

begin
  require "rb_sys/mkmf"
rescue LoadError
  # Plain cargo builds for this machine without the gem rb_sys.
  require_relative "cargo_makefile"
end

create_rust_makefile("tasker_core/tasker_core")
