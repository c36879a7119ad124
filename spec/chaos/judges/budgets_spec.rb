# frozen_string_literal: true

require_relative "../spoiled_records"

RSpec.describe Chaos::Judges::Budgets do
  extend SpoiledRecords

  it_finds("an attempt that was not counted", "budgeted", /6 attempts began, its budget counts 5/,
           such: ->(record) { record.budget.attempts == 6 }) do |record|
    record.budget.attempts -= 1
  end

  it_finds("more attempts than may begin", "budgeted", /it used up 6 of 5 attempts/,
           such: ->(record) { record.budget.attempts == 6 }) do |record|
    record.budget.max_attempts = 5
  end

  it_finds("a step that was kept from starting for nothing", "budgeted",
           /\(sixth\): it was kept from starting with 1 attempts left/,
           such: ->(record) { record.budget.attempts == 6 }) do |record|
    record.step("sixth").transitions.last.event = "budget_exhausted"
  end

  it_finds("a budget that is gone", "budgeted", /task 7: it has no budget/) { |record| record.budget = nil }

  it_finds("a step that a budget which there is not kept from starting", "chain",
           /\(s7\): it has no budget that was used up/) do |record|
    record.step("s7").transitions.last.event = "budget_exhausted"
  end

  it_finds("a budget that nobody raised", "budgeted", /its budget was raised, and nobody asked for that/) do |record|
    record.budget.max_attempts = 20
    SpoiledRecords.ask(record, :raise, :refused)
  end

  it_finds("a budget that is neither what it was nor what it was raised to", "budgeted",
           /its budget is {:?attempts(=>|: )12}/) { |record| record.budget.max_attempts = 12 }

  it_finds("a raise that was acknowledged", "budgeted",
           /that its budget is raised was acknowledged, and did not take place/) do |record|
    SpoiledRecords.ask(record, :raise)
  end

  it_lets("a budget be raised", "budgeted") do |record|
    record.budget.max_attempts = 20
    SpoiledRecords.ask(record, :raise, :unsure)
  end

  { "what was spent and not counted" => [/it spent 900000 millionths, its budget counts 5/,
                                         ->(budget) { budget.spent = 5 }],
    "more than may be spent" => [/it used up 900000 of 800000 millionths/, ->(budget) { budget.max_cost = 800_000 }],
    "what is reserved for good" => [/5 millionths are reserved/, ->(budget) { budget.reserved = 5 }] }
    .each do |what, (message, spoil)|
    it "finds #{what}" do
      record = Chaos::Play.of("thrifty") { |one| one.budget.spent == 900_000 }
      expect(SpoiledRecords.judged(described_class, record)).to eq([])
      spoil.call(record.budget)
      expect(SpoiledRecords.judged(described_class, record)).to include(message)
    end
  end
end
