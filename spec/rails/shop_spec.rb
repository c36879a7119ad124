# frozen_string_literal: true

require "net/http"

RSpec.describe "examples/shop" do
  include CommandLine
  include PrivateData
  include OpenShop

  # A customer with a browser that keeps cookies.
  let(:customer) do
    Class.new do
      def initialize(port)
        @http = Net::HTTP.new("127.0.0.1", port)
        @cookie = ""
      end

      def page
        answer = @http.get("/", { "Cookie" => @cookie })
        @cookie = answer["Set-Cookie"].to_s[/\A[^;]*/] if answer["Set-Cookie"]
        answer.body.force_encoding("UTF-8")
      end

      # Sends the form of the page that leads there.
      def send_form(path, fields = {})
        form = page[%r{<form[^>]*action="#{path}".*?</form>}m]
        token = form[/name="authenticity_token" value="([^"]*)"/, 1]
        body = URI.encode_www_form("authenticity_token" => token, **fields)
        @http.post(path, body, { "Cookie" => @cookie }).code
      end

      def order(product, quantity)
        send_form("/orders", "order[product_id]" => product, "order[quantity]" => quantity,
                             "order[email]" => "ada@example.com")
      end

      def row(id)
        page[%r{<tr id="order-#{id}">.*?</tr>}m].to_s.gsub(/<[^>]*>/, " ").squeeze(" \n")
      end
    end.new(port)
  end

  it "is opened by one command, and sees to what is ordered" do
    shop do |program|
      expect(customer.page).to include("Lamp, 10 left", "Desk, 3 left")
      expect(Array.new(2) { |number| customer.order(number + 1, 2) }).to eq(%w[302 302])
      expect(wait_until("the lamps are paid", within: 30) { customer.row(1)[/complete\s+reserve_stock.*paid/m] })
        .to match(/approval: skipped.* 98\.0 paid/m)
      expect(wait_until("the desks wait for approval", within: 30) { customer.row(2)[/approval: waiting.*/m] })
        .to include("charge: pending")
      expect(customer.send_form("/orders/2/approve")).to eq("302")
      expect(wait_until("the desks are paid", within: 30) { customer.row(2)[/complete\s+reserve_stock.*paid/m] })
        .to match(/approval: complete.* 780\.0 paid/m)
      expect(customer.page).to include("Lamp, 8 left", "Desk, 1 left")

      customer.order(2, 2)
      expect(wait_until("there are too few desks", within: 30) { customer.row(3)[/ error .*/m] })
        .to include("reserve_stock: error")
      program.signal("INT")
      expect(wait_until("it ends", within: 40) { program.status }).to eq(0)
      expect(program.text.scan(/mail for order/).size).to eq(2)
    end
  end
end
