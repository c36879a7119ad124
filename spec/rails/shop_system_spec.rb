# frozen_string_literal: true

# In a real browser, as a customer and as who approves.
RSpec.describe "examples/shop in a browser" do
  include CommandLine
  include PrivateData
  include OpenShop

  before do
    missing = %w[capybara selenium-webdriver].reject { |gem| Gem::Specification.find_all_by_name(gem).any? }
    missing << "Chromium" unless File.executable?("/usr/bin/chromedriver")
    skip("needs #{missing.join(", ")}; bin/setup --tests installs it") if missing.any?
  end

  # A window of its own, with nothing of another one's.
  def browser
    require "capybara"
    require "selenium-webdriver"
    Capybara.register_driver(:chromium) { |app| driver(app) }
    session = Capybara::Session.new(:chromium)
    session.visit("http://127.0.0.1:#{port}/")
    yield session
  ensure
    session&.quit
  end

  def driver(app)
    switches = %w[headless=new no-sandbox disable-gpu disable-dev-shm-usage disable-background-networking
                  disable-component-update]
    options = Selenium::WebDriver::Chrome::Options.new(binary: "/usr/bin/chromium",
                                                       args: [*switches, "user-data-dir=#{data}/browser"])
    service = Selenium::WebDriver::Service.chrome(path: "/usr/bin/chromedriver")
    Capybara::Selenium::Driver.new(app, browser: :chrome, service: service, capabilities: options)
  end

  # The page is that of the time when it was loaded.
  def wait_for(page, selector, text)
    wait_until("#{selector} shows #{text}", within: 30) do
      page.refresh
      page.has_css?(selector, text: text, wait: 1)
    end
  end

  it "takes an order, has it approved, and shows what its workflow does" do
    shop do
      browser do |page|
        page.select("Desk, 3 left")
        page.fill_in("order[quantity]", with: "2")
        page.fill_in("order[email]", with: "ada@example.com")
        page.click_button("Order")
        wait_for(page, "tr#order-1", "approval: waiting")
        page.click_button("Approve")
        wait_for(page, "tr#order-1 a", "complete")
        expect(page.find("tr#order-1").text).to include("780.0 paid")
        expect(page.has_select?("order[product_id]", with_options: ["Desk, 1 left"])).to be(true)
        page.click_link("complete")
        expect(page.text).to match(/"state": ?"complete"/)
      end
    end
  end
end
