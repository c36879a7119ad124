# frozen_string_literal: true

module Chaos
  # What faults happen to: the {Server}, the {Proxy} before it and the {Fleet}.
  World = Struct.new(:server, :proxy, :fleet, keyword_init: true)
end
