# frozen_string_literal: true

module TaskerCore
  # The version of the gem and of the Rust crates inside it, as in Cargo.toml.
  VERSION = "0.1.0"
end
