#!/usr/bin/env python3
"""Ten thousand idle connections cost little memory and no CPU, everybody else is served, and each one still works.

    idle_test.py [--connections 10000] [--seconds 3]

Half of them have only spoken once; the others are workers that wait for a job.
"""
import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from crowd import (KIB, PING, PONG, Crowd, cpu_seconds, descriptors, expect, info, milliseconds,  # noqa: E402
                  need_descriptors, open_files, report, round_trips, rss, wait_until_verified)
from harness import Client, Server, encode, eventually  # noqa: E402

BYTES_PER_CONNECTION_MAX = 10 * KIB  # RELIABILITY 3.10
CPU_SHARE_MAX = 0.05                 # of a core, while nothing happens
ROUND_TRIPS = 300


def idle(server, connections, seconds):
    pid, watcher = server.process.pid, server.client()
    empty = round_trips(watcher, "busy", ROUND_TRIPS)
    # What is verified once a day is not held open all day: nobody could free its space.
    wait_until_verified(watcher)
    segments = [name for name in open_files(pid) if name.endswith(".seg")]
    expect(len(set(segments)) == len(segments), f"the scrubber holds what it has read: {segments}")
    base_rss, base_descriptors = rss(pid), descriptors(pid)
    with Crowd(server.port, connections) as crowd:
        crowd.send(PING)
        crowd.expect(PONG)
        workers = crowd.sockets[::2]
        crowd.send(encode(["PULL", "idle", "WAIT", "1h", "AS", "one of many"]), workers)
        waiting = eventually(lambda: watcher.queue("idle")["waiting_pulls"] == len(workers), 30)
        expect(waiting, f"{watcher.queue('idle')['waiting_pulls']} of {len(workers)} workers wait")
        each = (rss(pid) - base_rss) / connections
        before = cpu_seconds(pid)
        time.sleep(seconds)  # how long it is watched, not a synchronisation
        share = (cpu_seconds(pid) - before) / seconds
        crowded = round_trips(watcher, "busy", ROUND_TRIPS)
        print(f"idle: {connections:,} connections, {each / KIB:.1f} KiB each, {share * 100:.1f} % of a core; "
              f"push, pull and ack take {milliseconds(crowded)} (alone {milliseconds(empty)})")
        expect(each <= BYTES_PER_CONNECTION_MAX, f"{each:.0f} bytes for a connection that rests")
        expect(share <= CPU_SHARE_MAX, f"{share:.3f} of a core while nothing happens")
        wake_each_once(watcher, workers)
        crowd.send(PING, crowd.sockets[1::2])
        crowd.expect(PONG, crowd.sockets[1::2])
    alone = eventually(lambda: info(watcher)["connected_clients"] == 1, 30)
    expect(alone, f"{info(watcher)['connected_clients']} clients after all but one left")
    expect(descriptors(pid) == base_descriptors,
           f"{descriptors(pid)} descriptors, {base_descriptors} at first: {open_files(pid)}")


def wake_each_once(client, workers):
    """As many jobs as workers that wait: each gets one, none twice."""
    client.send(*[("PUSH", "idle", "wake", number) for number in range(len(workers))])
    pushed = {client.receive() for _ in workers}
    delivered = []
    for one in workers:
        reader = Client.__new__(Client)  # around a socket that is connected already
        reader.socket, reader.file = one, one.makefile("rb")
        delivered += [dict(zip(job[::2], job[1::2]))[b"id"] for job in reader.receive()]
        reader.file.close()
    expect(len(delivered) == len(set(delivered)), "a job was given to two workers")
    expect(set(delivered) == pushed, "not each job was given to a worker that waited for it")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    need_descriptors(options.connections + 200)
    with Server(options=["--connections-max", options.connections + 100]) as server:
        idle(server, options.connections, options.seconds)
        expect(server.terminate() == 0, "the server did not end well")
    report({"idle connections": options.connections})


if __name__ == "__main__":
    main()
