#!/usr/bin/env python3
"""Malformed frames of every kind: each gets the right close code, nothing else is disturbed, memory stays flat.

    malformed_test.py            Sluice, beside what RabbitMQ said (malformed.json)
    malformed_test.py --record   asks RabbitMQ and writes malformed.json
"""
import json
import pathlib
import socket
import struct
import sys

import pika
from pika import spec

import broker
from harness import Server  # noqa: F401  (broker has put tests/ on the path)

RECORD = pathlib.Path(__file__).with_name("malformed.json")
HEADER = b"AMQP\x00\x00\x09\x01"
METHOD, CONTENT, BODY, HEARTBEAT = 1, 2, 3, 8

# Where Sluice answers otherwise, and why.
DIFFERENCES = {
    "syntax": "RabbitMQ says 501 FRAME_ERROR or ends with an internal error (541) where arguments or tables cannot be "
              "read, and 505 to a heartbeat on a channel; Sluice says 502 SYNTAX_ERROR and 501, as AMQP 0-9-1 has it",
    "silent": "RabbitMQ closes the socket without a word, or says nothing for a while; Sluice says what is wrong",
    "server's": "RabbitMQ says 501 or 541 to a method that only a server sends; Sluice says 503 COMMAND_INVALID",
    "too large": "RabbitMQ takes the length of a body for no number above 2^63; Sluice refuses whatever is above its limit",
}


def frame(kind, channel, payload, end=b"\xce"):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


def method(channel, each):
    return frame(METHOD, channel, struct.pack(">HH", each.INDEX >> 16, each.INDEX & 0xFFFF) + b"".join(each.encode()))


def raw(channel, class_id, method_id, arguments=b""):
    return frame(METHOD, channel, struct.pack(">HH", class_id, method_id) + arguments)


def content(channel, size, class_id=60, weight=0, properties=b"\x00\x00"):
    return frame(CONTENT, channel, struct.pack(">HHQ", class_id, weight, size) + properties)


PUBLISH = method(1, spec.Basic.Publish(exchange="", routing_key="q"))
OPEN = method(1, spec.Channel.Open())


def methods():
    """One well-formed frame of each method that a client may send on a channel."""
    return [spec.Exchange.Declare(exchange="x", type="direct"), spec.Exchange.Delete(exchange="x"),
            spec.Exchange.Bind(destination="x", source="y", routing_key="k"),
            spec.Exchange.Unbind(destination="x", source="y", routing_key="k"),
            spec.Queue.Declare(queue="q"), spec.Queue.Bind(queue="q", exchange="amq.direct", routing_key="k"),
            spec.Queue.Purge(queue="q"), spec.Queue.Delete(queue="q"),
            spec.Queue.Unbind(queue="q", exchange="amq.direct", routing_key="k"), spec.Basic.Qos(),
            spec.Basic.Consume(queue="q"), spec.Basic.Cancel(consumer_tag="c"), spec.Basic.Publish(routing_key="q"),
            spec.Basic.Get(queue="q"), spec.Basic.Ack(1), spec.Basic.Reject(1), spec.Basic.Nack(1),
            spec.Basic.Recover(True), spec.Basic.RecoverAsync(True), spec.Confirm.Select(), spec.Tx.Select(),
            spec.Tx.Commit(), spec.Tx.Rollback(), spec.Channel.Flow(True), spec.Channel.Close(200, "bye", 0, 0)]


def cases():
    """(name, bytes behind an open connection with channel 1 open). Each on a connection of its own."""
    yield "bad frame end", OPEN[:-1] + b"\x00"
    for kind in (0, 4, 5, 6, 7, 9, 100, 255):
        yield f"frame type {kind}", frame(kind, 1, b"abcd")
    for size in (131072, 131073, 1 << 20, 1 << 31, (1 << 32) - 1):
        yield f"frame of {size} octets", struct.pack(">BHI", METHOD, 1, size) + b"x" * 100
    yield "method frame without a method", frame(METHOD, 1, b"")
    yield "method frame of three octets", frame(METHOD, 1, b"\x00\x3c\x00")
    yield "heartbeat on a channel", frame(HEARTBEAT, 1, b"")
    yield "heartbeat with a payload", frame(HEARTBEAT, 0, b"x")
    for class_id, method_id in ((0, 0), (1, 1), (60, 0), (60, 999), (65535, 65535), (20, 60), (50, 70), (40, 99), (85, 99), (90, 99)):
        yield f"method {class_id}.{method_id}", raw(1, class_id, method_id)
    for each in methods():
        whole = method(1, each)
        arguments = whole[11:-1]
        name = each.NAME
        for cut in range(0, len(arguments), max(1, len(arguments) // 6)):
            yield f"{name} cut to {cut} octets", frame(METHOD, 1, whole[7:11] + arguments[:cut])
        if each.INDEX >> 16 not in (85, 90) or arguments:
            yield f"{name} and an octet more", frame(METHOD, 1, whole[7:-1] + b"\x00")
    for each in (spec.Connection.Start, spec.Connection.Tune, spec.Connection.OpenOk, spec.Connection.Blocked):
        yield f"{each.NAME} from a client", raw(0, 10, each.INDEX & 0xFFFF)
    for class_id, method_id in ((20, 11), (40, 11), (40, 21), (50, 11), (50, 21), (50, 31), (50, 41), (60, 11), (60, 21),
                                (60, 50), (60, 60), (60, 71), (60, 72), (60, 111), (85, 11), (90, 11), (90, 21), (90, 31)):
        yield f"answer {class_id}.{method_id} from a client", raw(1, class_id, method_id)
    for each in (spec.Queue.Declare(queue="q"), spec.Basic.Qos(), spec.Channel.Open(), spec.Channel.Close(200, "", 0, 0)):
        yield f"{each.NAME} on channel 0", method(0, each)
    for each in (spec.Connection.TuneOk(), spec.Connection.Open(), spec.Connection.StartOk({}, "PLAIN", "", "en_US")):
        yield f"{each.NAME} again", method(0, each)
        yield f"{each.NAME} on a channel", method(1, each)
    yield "channel opened twice", OPEN
    for each in methods():
        yield f"{each.NAME} on a channel that is not open", method(2, each)
    yield "content header without a method", content(1, 5)
    yield "body without a method", frame(BODY, 1, b"hello")
    yield "content on channel 0", content(0, 5)
    yield "body on channel 0", frame(BODY, 0, b"x")
    yield "method in place of a content header", PUBLISH + method(1, spec.Basic.Qos())
    yield "body in place of a content header", PUBLISH + frame(BODY, 1, b"hello")
    yield "method in place of a body", PUBLISH + content(1, 5) + method(1, spec.Basic.Qos())
    yield "header in place of a body", PUBLISH + content(1, 5) + content(1, 5)
    yield "more body than announced", PUBLISH + content(1, 3) + frame(BODY, 1, b"hello")
    yield "more body in a second frame", PUBLISH + content(1, 8) + frame(BODY, 1, b"hello") + frame(BODY, 1, b"hello")
    for class_id in (0, 50, 61, 65535):
        yield f"content header of class {class_id}", PUBLISH + content(1, 1, class_id)
    yield "content header with a weight", PUBLISH + content(1, 1, weight=1)
    for cut in range(0, 13, 2):
        yield f"content header of {cut} octets", PUBLISH + frame(CONTENT, 1, (struct.pack(">HHQ", 60, 0, 1) + b"\x00\x00")[:cut])
    for flags in (0x8000, 0x4000, 0x2000, 0x1000, 0x0800, 0x0400, 0x0200, 0x0100, 0x0080, 0x0040, 0x0020, 0x0010, 0x0008, 0x0004):
        yield f"property flag {flags:#x} without its property", (
            PUBLISH + content(1, 1, properties=struct.pack(">H", flags)) + frame(BODY, 1, b"x"))
    yield "properties and octets more", PUBLISH + content(1, 1, properties=b"\x00\x00abc") + frame(BODY, 1, b"x")
    yield "a body of 2^63 octets", PUBLISH + content(1, 1 << 63)
    for name, table in tables():
        sized = struct.pack(">I", len(table)) + table
        yield f"queue.declare with {name}", raw(1, 50, 10, b"\x00\x00\x01q\x00" + sized)
        yield f"exchange.declare with {name}", raw(1, 40, 10, b"\x00\x00\x01x\x06direct\x00" + sized)
        yield f"basic.consume with {name}", raw(1, 60, 20, b"\x00\x00\x01q\x00\x00" + sized)
        yield f"headers with {name}", PUBLISH + content(1, 1, properties=b"\x20\x00" + sized) + frame(BODY, 1, b"x")
    yield "a table longer than its frame", raw(1, 50, 10, b"\x00\x00\x01q\x00\x00\x00\xff\xff")
    yield "a name longer than its frame", raw(1, 50, 10, b"\x00\x00\xffq")
    for tag in (0, 1, 77, 1 << 63):
        for each in (spec.Basic.Ack(tag), spec.Basic.Nack(tag), spec.Basic.Reject(tag)):
            yield f"{each.NAME} of tag {tag}", method(1, each)


def tables():
    def entry(kind, payload):
        return b"\x01k" + kind + payload
    for kind in (b"Z", b"?", b"\x00", b"q"):
        yield f"a value of type {kind!r}", entry(kind, b"\x00" * 8)
    for kind, size in ((b"t", 1), (b"b", 1), (b"s", 2), (b"I", 4), (b"l", 8), (b"f", 4), (b"d", 8), (b"D", 5), (b"T", 8)):
        yield f"a value of type {kind.decode()} cut short", entry(kind, b"\x00" * (size - 1))
    for kind in (b"S", b"F", b"A", b"x"):
        yield f"a length of type {kind.decode()} beyond the table", entry(kind, b"\x00\x00\x00\x09x")
        yield f"a length of type {kind.decode()} of 2^32-1", entry(kind, b"\xff\xff\xff\xffx")
    yield "a name without a value", b"\x01k"
    yield "a name cut short", b"\x09k"


BEFORE_OPEN = [
    ("nothing", b""), ("half a protocol header", HEADER[:4]), ("a tune-ok at once", HEADER + method(0, spec.Connection.TuneOk())),
    ("an open at once", HEADER + method(0, spec.Connection.Open())), ("a channel at once", HEADER + OPEN),
    ("a large frame at once", HEADER + struct.pack(">BHI", METHOD, 0, 1 << 20)),
    ("a body at once", HEADER + frame(BODY, 0, b"x")), ("a bad frame end at once", HEADER + frame(METHOD, 0, b"\x00" * 8, b"x")),
    ("an unknown mechanism", HEADER + method(0, spec.Connection.StartOk({}, "MAGIC", "x", "en_US"))),
    ("a response without a password", HEADER + method(0, spec.Connection.StartOk({}, "PLAIN", "guest", "en_US"))),
    ("an empty AMQPLAIN", HEADER + method(0, spec.Connection.StartOk({}, "AMQPLAIN", "", "en_US"))),
]


class Peer:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.settimeout(1.0)
        self.buffer = b""

    def frames(self):
        """Until nothing comes for a while, or the end, which is None."""
        while True:
            while len(self.buffer) >= 7:
                kind, channel, size = struct.unpack(">BHI", self.buffer[:7])
                if self.buffer[:4] == b"AMQP" or len(self.buffer) < size + 8:
                    break
                payload, self.buffer = self.buffer[7:7 + size], self.buffer[8 + size:]
                yield kind, channel, payload
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return
            except OSError:
                data = b""
            if not data:
                yield None
                return
            self.buffer += data

    def open(self):
        self.socket.sendall(HEADER + method(0, spec.Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US")) +
                            method(0, spec.Connection.TuneOk(2047, 131072, 0)) + method(0, spec.Connection.Open("/")) + OPEN)
        for each in self.frames():
            if each is None:
                raise AssertionError("it is not opened")
            if each[0] == METHOD and each[2][:4] == struct.pack(">HH", 20, 11):
                return
        raise AssertionError("it is not opened")

    def outcome(self):
        """"connection 503", "channel 406", "end", "protocol header" or "open"."""
        said = "open"
        # What answers a method behind the mistake says that the mistake was taken.
        for each in self.frames():
            if each is None:
                return said if said != "open" else ("protocol header" if self.buffer[:4] == b"AMQP" else "end")
            kind, channel, payload = each
            if kind != METHOD:
                continue
            class_id, method_id = struct.unpack(">HH", payload[:4])
            if (class_id, method_id) == (10, 50):
                said = f"connection {struct.unpack('>H', payload[4:6])[0]}"
                try:
                    self.socket.sendall(method(0, spec.Connection.CloseOk()))
                except OSError:
                    pass
                return said
            if (class_id, method_id) == (20, 40):
                return f"channel {struct.unpack('>H', payload[4:6])[0]}"
            if (class_id, method_id) == (20, 21):
                return "open"
        return said

    def close(self):
        self.socket.close()


def ask(port, name, data, is_open):
    peer = Peer(port)
    try:
        if is_open:
            peer.open()
            # flow-ok says that all before it was taken.
            data += method(1, spec.Channel.Flow(True))
        try:
            peer.socket.sendall(data)
        except OSError:
            pass
        return peer.outcome()
    finally:
        peer.close()


def all_cases():
    seen = {}
    for name, data in cases():
        seen[name] = (data, True)
    for name, data in BEFORE_OPEN:
        seen[name] = (data, False)
    return seen


def ask_while_writing(port, extra_bytes):
    """What a client is told that writes on behind its mistake before it reads."""
    peer = Peer(port)
    try:
        peer.open()
        peer.socket.settimeout(10)
        try:
            peer.socket.sendall(OPEN[:-1] + b"\x00" + b"x" * extra_bytes)
        except OSError as error:
            return str(error)
        return peer.outcome()
    finally:
        peer.close()


def kind_of_difference(name, rabbit, ours):
    if rabbit in ("end", "open") and ours.startswith(("connection", "channel", "end")):
        return "silent"
    if name.endswith("from a client") and ours == "connection 503":
        return "server's"
    if name == "a body of 2^63 octets" and ours == "channel 406":
        return "too large"
    if name == "heartbeat on a channel" or ours == "connection 502" and rabbit in ("connection 501", "connection 541", "connection 505"):
        return "syntax"
    return None


def record():
    server = broker.Rabbit()
    try:
        answers = {name: ask(server.port, name, *case) for name, case in all_cases().items()}
    finally:
        server.stop()
    RECORD.write_text(json.dumps(answers, indent=0, sort_keys=True) + "\n")
    print(len(answers), "answers")


def check():
    recorded = json.loads(RECORD.read_text())
    everything = all_cases()
    failures, differences = [], {}
    with Server(options=["--amqp", "127.0.0.1:0"]) as server:
        port = server.amqp_port
        bystander = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, heartbeat=0))
        channel = bystander.channel()
        channel.queue_declare("bystander", durable=True)
        ask(port, "warm up", OPEN[:-1] + b"\x00", True)
        before = rss_kib(server.process.pid)
        for name, case in everything.items():
            ours, rabbit = ask(port, name, *case), recorded.get(name)
            if ours == rabbit:
                continue
            kind = kind_of_difference(name, rabbit or "", ours)
            differences.setdefault(kind, []).append(f"{name}: {rabbit}, Sluice: {ours}")
            if kind is None:
                failures.append(f"{name}: RabbitMQ {rabbit}, Sluice {ours}")
        if (told := ask_while_writing(port, 16 << 20)) != "connection 501":
            failures.append(f"a client that writes on behind its mistake: {told}")
        grown = rss_kib(server.process.pid) - before
        channel.confirm_delivery()
        channel.basic_publish("", "bystander", b"still here", pika.BasicProperties(delivery_mode=2))
        if channel.basic_get("bystander", auto_ack=True)[2] != b"still here":
            failures.append("the bystander lost its message")
        bystander.close()
    print(f"{len(everything)} cases, memory grew by {grown} KiB")
    for kind, names in differences.items():
        print(f"-- {kind}: {len(names)}: {DIFFERENCES.get(kind, '')}")
        for each in names if kind is None or "-v" in sys.argv else ():
            print("  ", each)
    if len(everything) < 300:
        failures.append("less than 300 cases")
    if grown > 8 << 10:
        failures.append(f"memory grew by {grown} KiB")
    if set(recorded) != set(everything):
        failures.append("malformed.json has other cases: --record")
    for each in failures:
        print("FAILED", each)
    sys.exit(1 if failures else 0)


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


if __name__ == "__main__":
    record() if "--record" in sys.argv else check()
