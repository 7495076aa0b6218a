#!/usr/bin/env python3
"""AMQP's crowds: thousands of connections with a channel and a consumer each, thousands of queues, many bindings.

    amqp_test.py [--connections 1000] [--queues 2000] [--bindings 20000]

Each connection has an exclusive queue that is bound to a topic exchange, gets exactly its own message, and takes its
queue along when it leaves. Durable queues and bindings are declared without waiting, each gets a message, and all of
it is there after a kill -9.
"""
import argparse
import pathlib
import sys
import time

import pika

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "amqp"))
from crowd import (KIB, Crowd, cpu_seconds, descriptors, expect, info, need_descriptors, open_files, report,  # noqa: E402
                   rss, wait_until_verified)
from harness import Server, eventually  # noqa: E402
from wire import Wire  # noqa: E402

BYTES_PER_CONNECTION_MAX = 40 * KIB  # with its channel, queue, binding and consumer
BYTES_PER_QUEUE_MAX = 4 * KIB
BYTES_PER_BINDING_MAX = 1 * KIB      # INFO and the documentation say 400 to 900
CROWD_MIN = 1000                     # so many leave before the server trims its heap (gateway/session.cc)
STEP = 500                           # so many methods are sent before an answer is waited for
Queue, Basic, Exchange = pika.spec.Queue, pika.spec.Basic, pika.spec.Exchange


def connections(server, count):
    """A crowd that consumes, each from a queue of its own."""
    pid, watcher = server.process.pid, server.client()
    publisher = Wire(server.amqp_port, "publisher")
    publisher.ask(Exchange.Declare(exchange="crowd", type="topic", durable=True), Exchange.DeclareOk)
    publisher.ask(pika.spec.Confirm.Select(), pika.spec.Confirm.SelectOk)
    wait_until_verified(watcher)
    base_rss, base_descriptors = rss(pid), descriptors(pid)
    crowd = []
    for number in range(count):
        wire = Wire(server.amqp_port, f"one of many {number}", f"127.0.0.{2 + number % 4}")
        queue = wire.ask(Queue.Declare(exclusive=True), Queue.DeclareOk).queue
        wire.ask(Queue.Bind(queue=queue, exchange="crowd", routing_key=f"to.{number}.#"), Queue.BindOk)
        wire.ask(Basic.Consume(queue=queue, no_ack=True), Basic.ConsumeOk)
        crowd.append(wire)
    each = (rss(pid) - base_rss) / count
    before = cpu_seconds(pid)
    time.sleep(1)  # how long it is watched, not a synchronisation
    share = cpu_seconds(pid) - before
    print(f"amqp: {count:,} connections with a channel, a queue, a binding and a consumer, {each / KIB:.1f} KiB each, "
          f"{share * 100:.1f} % of a core at rest")
    expect(each <= BYTES_PER_CONNECTION_MAX, f"{each:.0f} bytes for a connection that rests")
    for first in range(0, count, STEP):
        numbers = range(first, min(first + STEP, count))
        publisher.send_raw(b"".join(
            Wire.publish(f"to.{number}.x", b"%d" % number, True, exchange="crowd") for number in numbers))
        confirmed(publisher, len(numbers))
    for number, wire in enumerate(crowd):
        wire.expect(Basic.Deliver)
        got = wire.content()
        expect(got == b"%d" % number, f"connection {number} got {got!r}")
    for wire in crowd:
        wire.leave()
    gone = eventually(lambda: info(watcher)["queues"] == 0, 60)
    expect(gone, f"{info(watcher)['queues']} exclusive queues after their connections left")
    alone = eventually(lambda: descriptors(pid) == base_descriptors, 30)
    expect(alone, f"{descriptors(pid)} descriptors, {base_descriptors} at first: {open_files(pid)}")
    publisher.leave()


def confirmed(publisher, count):
    """Waits until so many publishes more are confirmed."""
    publisher.confirmed = getattr(publisher, "confirmed", 0)
    wanted = publisher.confirmed + count
    singles = 0
    while publisher.confirmed + singles < wanted:
        ack = publisher.expect(Basic.Ack)
        if ack.multiple:
            publisher.confirmed, singles = ack.delivery_tag, 0
        else:
            singles += 1
    publisher.confirmed = wanted


def in_steps(wire, methods, barrier):
    """Sends methods that have no answer, and waits now and then until they are done."""
    for first in range(0, len(methods), STEP):
        wire.send(*methods[first:first + STEP])
        wire.ask(*barrier)


def rss_at_rest(server):
    """Without what the allocator keeps: the server gives that back some seconds after a crowd has left."""
    with Crowd(server.amqp_port, CROWD_MIN):
        pass
    time.sleep(4)  # two of its sweeps, a second apart, and no synchronisation: later it is the same
    return rss(server.process.pid)


def queues(server, count):
    base = rss_at_rest(server)
    wire, began = Wire(server.amqp_port, "queues"), time.monotonic()
    in_steps(wire, [Queue.Declare(queue=f"many.{number}", durable=True, nowait=True) for number in range(count)],
             (Exchange.Declare(exchange="amq.topic", type="topic", passive=True), Exchange.DeclareOk))
    took, each = time.monotonic() - began, (rss_at_rest(server) - base) / count
    print(f"amqp: {count:,} durable queues declared in {took:.1f} s, {each / KIB:.1f} KiB each")
    expect(0 < each <= BYTES_PER_QUEUE_MAX, f"{each:.0f} bytes for a queue")
    wire.ask(pika.spec.Confirm.Select(), pika.spec.Confirm.SelectOk)
    for first in range(0, count, STEP):
        numbers = range(first, min(first + STEP, count))
        wire.send_raw(b"".join(Wire.publish(f"many.{number}", b"%d" % number, True) for number in numbers))
        confirmed(wire, len(numbers))
    wire.leave()


def bindings(server, count, queue_count):
    base, wire = rss_at_rest(server), Wire(server.amqp_port, "bindings")
    wire.ask(Exchange.Declare(exchange="many", type="topic", durable=True), Exchange.DeclareOk)
    began = time.monotonic()
    keys = [f"region-{number % 20}.*.shop-{number}.#" if number % 2 else f"region-{number % 20}.order.shop-{number}.paid"
            for number in range(count)]
    in_steps(wire, [Queue.Bind(queue=f"many.{number % queue_count}", exchange="many", routing_key=key, nowait=True)
                    for number, key in enumerate(keys)],
             (Exchange.Declare(exchange="amq.topic", type="topic", passive=True), Exchange.DeclareOk))
    took, each = time.monotonic() - began, (rss_at_rest(server) - base) / count
    print(f"amqp: {count:,} bindings of a topic exchange in {took:.1f} s, {each:.0f} bytes each")
    expect(0 < each <= BYTES_PER_BINDING_MAX, f"{each:.0f} bytes for a binding")
    wire.leave()


def routed(server, bindings_count, messages=20_000):
    """Through the exchange; told, and each message reaches one queue."""
    pid, watcher, wire = server.process.pid, server.client(), Wire(server.amqp_port, "publisher")
    before_jobs, before = info(watcher)["ready"], cpu_seconds(pid)
    wire.ask(pika.spec.Confirm.Select(), pika.spec.Confirm.SelectOk)
    step = 7919  # a prime: keys from everywhere
    for first in range(0, messages, STEP):
        numbers = [(first + place) * step % bindings_count for place in range(STEP)]
        wire.send_raw(b"".join(
            Wire.publish(f"region-{number % 20}.order.shop-{number}.paid", b"x" * 100, True, exchange="many")
            for number in numbers))
        confirmed(wire, STEP)
    each = (cpu_seconds(pid) - before) / messages
    print(f"amqp: {messages:,} messages through {bindings_count:,} bindings, {each * 1e6:.1f} us of server CPU each, "
          "confirmed")
    found = info(watcher)["ready"] - before_jobs
    expect(found == messages, f"{found} jobs of {messages} messages that one binding each matches")
    wire.leave()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--queues", type=int, default=2000)
    parser.add_argument("--bindings", type=int, default=20_000)
    options = parser.parse_args()
    need_descriptors(max(options.connections, CROWD_MIN) + 200)
    limits = ["--connections-max", max(options.connections, CROWD_MIN) + 100,
              "--queues-max", max(options.queues, options.connections) + 100]
    with Server(options=["--amqp", "127.0.0.1:0", *limits]) as server:
        connections(server, options.connections)
        queues(server, options.queues)
        bindings(server, options.bindings, options.queues)
        routed(server, options.bindings)
        server.kill()
        server.start()
        facts = info(server.client())
        expect(facts["queues"] == options.queues, f"{facts['queues']} queues after a kill -9")
        expect(facts["ready"] == options.queues + 20_000, f"{facts['ready']} jobs after a kill -9")
        routed(server, options.bindings)
        expect(server.terminate() == 0, "the server did not end well")
    report({"amqp connections": options.connections, "amqp queues": options.queues, "amqp bindings": options.bindings})


if __name__ == "__main__":
    main()
