"""What the load tests share: what a process uses, many connections at once, and the line for the ledger.

Bounds are on memory, descriptors and correctness. Latencies are told, never judged: the machine may be busy.
"""
import json
import os
import pathlib
import resource
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import encode, eventually  # noqa: E402

KIB, MIB = 1 << 10, 1 << 20
SKIPPED = 77
PING, PONG = encode(["PING"]), b"+PONG\r\n"


def rss(pid):
    """Resident bytes of a process."""
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def open_files(pid):
    """What its descriptors are, sorted."""
    return sorted(os.readlink(f"/proc/{pid}/fd/{each}") for each in os.listdir(f"/proc/{pid}/fd"))


def wait_until_verified(client):
    """The journal is verified once at the start, and open for it meanwhile: descriptors are counted afterwards."""
    is_verified = eventually(lambda: info(client)["scrubbed_bytes_total"] > 0, 30)
    expect(is_verified, "nothing is verified at the start")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def info(client):
    """INFO as a dict; numbers as numbers."""
    lines = client("INFO").decode().splitlines()
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    return {name: int(value) if value.isdigit() else value for name, value in pairs}


def need_descriptors(count):
    """Ends the test as skipped if a process may not open so many files."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < count:
        skip(f"{count} open files are needed, the hard limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def skip(why):
    print("skipped:", why)
    sys.exit(SKIPPED)


def expect(claim, message):
    if not claim:
        raise AssertionError(message)


class Crowd:
    """Many plain connections. They come from four addresses, so that no pair of addresses runs out of ports."""

    def __init__(self, port, count, receive_bytes=None):
        self.sockets = []
        for number in range(count):
            one = socket.socket()
            one.settimeout(60)
            if receive_bytes:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            one.bind((f"127.0.0.{2 + number % 4}", 0))
            one.connect(("127.0.0.1", port))
            self.sockets.append(one)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data, sockets=None):
        for one in self.sockets if sockets is None else sockets:
            one.sendall(data)

    def expect(self, reply, sockets=None):
        """Each connection receives exactly these bytes."""
        for one in self.sockets if sockets is None else sockets:
            got = read_exactly(one, len(reply))
            expect(got == reply, f"expected {reply!r}, got {got!r}")

    def close(self, abruptly=False):
        """`abruptly`: with a reset instead of a farewell."""
        for one in self.sockets:
            if abruptly:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()
        self.sockets = []


def read_exactly(one, size):
    data = b""
    while len(data) < size:
        more = one.recv(size - len(data))
        if not more:
            break
        data += more
    return data


def round_trips(client, queue, count):
    """PUSH, PULL and ACK of `count` jobs, one after the other. Returns the seconds of each, sorted."""
    took = []
    for number in range(count):
        began = time.perf_counter()
        job = client("PUSH", queue, "step", str(number))
        pulled = client.pull(queue)
        expect([each["id"] for each in pulled] == [job], f"pushed {job!r}, pulled {pulled!r}")
        expect(client("ACK", job, pulled[0]["token"]) == "OK", "the ack of a lease was refused")
        took.append(time.perf_counter() - began)
    return sorted(took)


def milliseconds(took):
    return f"median {took[len(took) // 2] * 1000:.2f} ms, 99 % {took[len(took) * 99 // 100] * 1000:.2f} ms"


def report(counts, failures=0):
    print("ledger:", json.dumps({"tool": "load", "counts": counts, "failures": failures}))
