# frozen_string_literal: true

module Chaos
  # What faults happen to: the {Server}, the {Network} before it and the {Fleet}.
  World = Struct.new(:server, :network, :fleet, keyword_init: true)
end
