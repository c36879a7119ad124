# frozen_string_literal: true

TaskerCore.define("greeting") { step "greet", handler: "Greet" }
