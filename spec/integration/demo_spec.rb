# frozen_string_literal: true

RSpec.describe "examples/demo.rb" do
  include CommandLine
  include PrivateData

  def demo(&block)
    running(RbConfig.ruby, "-w", "examples/demo.rb", env: { "TASKER_DATA_DIR" => data }) do |program|
      block.call(program)
    ensure
      program.close
      postgres.stop
    end
  end

  def worker_of(program)
    wait_until("the worker starts", within: 60) { program.text[/worker process (\d+)/, 1] || ended(program) }.to_i
  end

  def ended(program)
    raise "the demo ended: #{program.text}" if program.status
  end

  it "completes an order with retries and a graph of about a thousand steps, and leaves nothing behind" do
    demo do |program|
      worker = worker_of(program)
      expect([wait_until("it ends", within: 100) { program.status }, program.text]).to match([0, anything])
      expect(program.text).to match(/order_fulfilment 1\.0\.0 +✓ complete +5 +7 /)
      expect(program.text).to match(/cholesky-17-\h+ 1\.0\.0 +✓ complete +969 +969 /)
      expect(program.text).to match(/^\$ tasker explain \d+ charge_card\n(.*\n)+.*card network did not answer/)
      expect([alive?(worker), postgres.status.running?]).to eq([false, false])
    end
  end

  { "INT" => 130, "TERM" => 143 }.each do |signal, status|
    it "leaves nothing behind after #{signal}" do
      demo do |program|
        worker = worker_of(program)
        program.signal(signal)
        expect(wait_until("it ends", within: 60) { program.status }).to eq(status)
        expect([alive?(worker), postgres.status.running?]).to eq([false, false])
      end
    end
  end

  it "does not run twice in one folder" do
    demo do |program|
      worker_of(program)
      second = run_program(RbConfig.ruby, "examples/demo.rb", env: { "TASKER_DATA_DIR" => data })
      expect([second.status, second.err]).to match([2, /\Ademo: another demo runs/])
    end
  end
end
