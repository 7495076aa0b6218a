#!/usr/bin/env python3
"""Crowds that connect and leave, again and again, leave nothing behind: descriptors and memory return.

    storm_test.py [--connections 2000] [--rounds 6]

Of each crowd some say nothing, some stop in the middle of a command, some wait for a job, some leave with a
reset, and some leave with replies under way. Somebody else is served all the time.
"""
import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from crowd import (KIB, MIB, PING, PONG, Crowd, descriptors, expect, info, milliseconds, need_descriptors,  # noqa: E402
                  open_files, report, round_trips, rss, wait_until_verified)
from harness import Server, encode, eventually  # noqa: E402

WAIT, HALF = encode(["PULL", "storm", "WAIT", "1h"]), encode(["PUSH", "storm", "t", "x" * 1000])[:500]
UNREAD = encode(["QUEUE", "LIST"]) * 20
# From before the first storm to after the last: not more with each, and little for the largest. Asio keeps 176 bytes
# for each connection that there was at once (up to a quarter more than one storm's), for the next ones. How they lie
# among what the crowd used differs from run to run; at worst each of them keeps two pages from the system.
RSS_GROWTH_MAX, RSS_GROWTH_EACH = 16 * MIB, 10 * KIB


def storm(server, connections):
    """One crowd comes, says various things, and goes. Returns how many were accepted a second."""
    began = time.monotonic()
    crowd = Crowd(server.port, connections)
    crowd.send(PING, crowd.sockets[0::2])
    crowd.expect(PONG, crowd.sockets[0::2])
    took = time.monotonic() - began
    crowd.send(WAIT, crowd.sockets[0::4])
    crowd.send(HALF, crowd.sockets[1::4])
    crowd.send(UNREAD, crowd.sockets[2::4])
    some, crowd.sockets = crowd.sockets[::3], [one for i, one in enumerate(crowd.sockets) if i % 3]
    for one in some:
        one.close()
    crowd.close(abruptly=True)
    return connections / took


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    need_descriptors(options.connections + 200)
    with Server(options=["--connections-max", options.connections + 100, "--tail-cache-bytes", "1MiB"]) as server:
        pid, watcher = server.process.pid, server.client()
        round_trips(watcher, "busy", 200)
        wait_until_verified(watcher)
        base_descriptors, base_rss, sizes, rates, took = descriptors(pid), rss(pid), [], [], []
        for number in range(options.rounds):
            rates.append(storm(server, options.connections))
            took += round_trips(watcher, "busy", 50)
            gone = eventually(lambda: info(watcher)["connected_clients"] == 1, 30)
            expect(gone, f"{info(watcher)['connected_clients']} clients after storm {number + 1} left")
            # Some of the crowd were gone before they were accepted, and may be accepted yet.
            alone = eventually(lambda: descriptors(pid) == base_descriptors, 30)
            expect(alone, f"{descriptors(pid)} descriptors after storm {number + 1}, {base_descriptors} before: "
                          f"{open_files(pid)}")
            sizes.append(rss(pid))
        left = eventually(lambda: watcher.queue("storm")["waiting_pulls"] == 0, 30)
        expect(left, f"{watcher.queue('storm')['waiting_pulls']} workers that left still wait")
        print(f"storm: {options.rounds} times {options.connections:,} connections, {min(rates):,.0f} to "
              f"{max(rates):,.0f} accepted a second; RSS {base_rss / MIB:.0f} MiB, after each storm "
              f"{', '.join(f'{size / MIB:.0f}' for size in sizes)}; meanwhile push, pull and ack took "
              f"{milliseconds(sorted(took))}")
        rss_max = base_rss + RSS_GROWTH_MAX + RSS_GROWTH_EACH * options.connections
        given_back = eventually(lambda: rss(pid) <= rss_max, 20)
        expect(given_back, f"RSS was {base_rss} before the storms and is {rss(pid)} now")
        expect(server.terminate() == 0, "the server did not end well")
    report({"storm connections": options.connections * options.rounds})


if __name__ == "__main__":
    main()
