# Bunny (Ruby): what a program does with it. Usage: bunny.rb URL
require "bunny"

def check(expected, found)
  raise "expected #{expected.inspect}, found #{found.inspect}" unless expected == found
end

connection = Bunny.new(ARGV[0], automatically_recover: false)
connection.start
channel = connection.create_channel
channel.confirm_select

queue = channel.queue("bunny", durable: true, arguments: { "x-max-priority" => 5 })
10.times { |n| queue.publish("m#{n}", persistent: true, priority: n % 3, headers: { "n" => n }, timestamp: 1_700_000_000) }
check true, channel.wait_for_confirms
check 10, queue.message_count

info, properties, body = queue.pop
check "m2", body
check 2, properties[:priority]
check({ "n" => 2 }, properties[:headers])
check 1_700_000_000, properties[:timestamp].to_i
check false, info.redelivered

got = Queue.new
channel.prefetch(3)
consumer = queue.subscribe(manual_ack: true) do |delivery, _, payload|
  channel.ack(delivery.delivery_tag)
  got << payload
end
bodies = Array.new(9) { got.pop }
check 9, bodies.uniq.size
consumer.cancel

# Rejected messages and their way.
dead = channel.queue("bunny.dead", durable: true)
main = channel.queue("bunny.main", durable: true, arguments: {
  "x-dead-letter-exchange" => "", "x-dead-letter-routing-key" => "bunny.dead" })
main.publish("poison", persistent: true)
channel.wait_for_confirms
info, = main.pop(manual_ack: true)
channel.reject(info.delivery_tag)
payload = nil
headers = nil
50.times do
  _, found, payload = dead.pop
  headers = found && found[:headers]
  break if payload
  sleep 0.05
end
check "poison", payload
check "rejected", headers["x-death"][0]["reason"]

# Fanout to two; bindings of exchanges.
fanout = channel.fanout("bunny.fanout", auto_delete: true)
source = channel.topic("bunny.topic", auto_delete: true)
fanout.bind(source, routing_key: "a.#")
queues = Array.new(2) { channel.queue("", exclusive: true).bind(fanout) }
source.publish("to both", routing_key: "a.b")
channel.wait_for_confirms
queues.each { |each| check "to both", each.pop[2] }

# Transactions on a channel of their own.
transactional = connection.create_channel
transactional.tx_select
transactional.default_exchange.publish("kept", routing_key: "bunny")
transactional.tx_commit
transactional.default_exchange.publish("dropped", routing_key: "bunny")
transactional.tx_rollback
check 1, queue.message_count

begin
  connection.create_channel.queue_declare("bunny", durable: false)
  raise "it was not refused"
rescue Bunny::PreconditionFailed => error
  check true, error.message.include?("inequivalent arg 'durable'")
end
[queue, dead, main].each(&:delete)
connection.close
puts "bunny: fine"
