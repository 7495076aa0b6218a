#!/usr/bin/env python3
"""Measures Sluice and RabbitMQ over AMQP 0-9-1 on this machine, in one go, alternating, with the same client
(peers/amqp.cc, librabbitmq), and prints the medians as Markdown, with the goals.

    python3 bench/amqp.py                          # three rounds: about five minutes
    python3 bench/amqp.py --runs 1 --secs 1 --only rounds
    python3 bench/amqp.py --runs 9 --only rounds --alone --before ../sluice-of-then/build/release/sluice

Persistent messages, publisher confirms, everything synced before it is confirmed, by all three: Sluice, a classic
durable queue of RabbitMQ, a quorum queue. bench/README.md says how compare.py measures; this does the same. With
--before another build of Sluice is measured in the same rounds, and the ratios of the two are printed.
"""
import argparse
import os
import pathlib
import platform
import signal
import statistics
import subprocess
import sys
import time

import compare
from compare import Results, Server, free_port, process_use, run

ROOT = pathlib.Path(__file__).resolve().parent.parent
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
DRAINED = 400_000
BEFORE = "sluice before"


class Amqp(Server):
    kind = "classic"

    def __init__(self, name, arguments):
        super().__init__(name, arguments.data)
        self.loads = arguments.peers

    def pid(self):
        return self.process.pid

    def load_command(self, mode, options):
        words = [word for key, value in options.items() for word in (f"--{key}", value)]
        return [self.loads / "amqp", mode, "--kind", self.kind, "--port", self.port, "--server-pid", self.pid(), *words]

    def order(self, mode, **options):
        """A mode that has nothing to say."""
        subprocess.run([str(word) for word in self.load_command(mode, options)], check=True)


class Sluice(Amqp):
    def __init__(self, name, arguments, binary):
        super().__init__(name, arguments)
        self.binary = binary

    def command(self):
        return [self.binary, "serve", "--data", self.folder / "data", "--resp", "127.0.0.1:0", "--amqp",
                f"127.0.0.1:{self.port}"]


class Rabbit(Amqp):
    def __init__(self, name, arguments, kind):
        super().__init__(name, arguments)
        self.kind, self.epmd_port = kind, free_port()
        (self.folder / "home").mkdir()
        base = self.folder
        self.environment = {
            **os.environ, "HOME": str(base / "home"), "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port), "RABBITMQ_NODENAME": f"bench{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(base / "mnesia"), "RABBITMQ_LOG_BASE": str(base / "logs"),
            "RABBITMQ_DIST_PORT": str(free_port()), "RABBITMQ_ENABLED_PLUGINS_FILE": str(base / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(base / "none"), "RABBITMQ_PID_FILE": str(base / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(self.epmd_port)}
        self.epmd = None

    def start(self):
        self.epmd = subprocess.Popen(["epmd", "-address", "127.0.0.1", "-port", str(self.epmd_port)], env=self.environment,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started = time.monotonic()
        self.log = open(self.folder / "log", "w+")
        self.process = subprocess.Popen([RABBITMQ], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        cwd=self.folder, env=self.environment, start_new_session=True)
        while not self.is_up():
            if self.process.poll() is not None or time.monotonic() - started > 90:
                raise RuntimeError("RabbitMQ did not start")
            time.sleep(0.1)
        time.sleep(2)

    def pid(self):
        """Of the Erlang machine, which does the work."""
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                group = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[2])
                if group == self.process.pid and "beam" in (entry / "comm").read_text():
                    return int(entry.name)
            except OSError:
                pass
        raise RuntimeError("RabbitMQ is gone")

    def load(self, mode, options):
        before = compare.busy_seconds(), process_use(self.pid())[0], self.own_cpu(), time.monotonic()
        result = run(self.load_command(mode, options))
        seconds = time.monotonic() - before[3]
        ours = process_use(self.pid())[0] - before[1] + self.own_cpu() - before[2]
        result["foreign"] = max(0.0, (compare.busy_seconds() - before[0] - ours) / seconds)
        return result

    def kill(self, number=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
        if self.epmd:
            self.epmd.terminate()
            self.epmd.wait(10)
            self.epmd = None


def systems(arguments, backwards=False):
    """Who comes first has the disk and the caches as the one before it left them: rounds go there and back."""
    kinds = [(Sluice, "sluice", arguments.binary)]
    if arguments.before:
        kinds.append((Sluice, BEFORE, arguments.before))
    if not arguments.alone:
        kinds += [(Rabbit, "rabbitmq classic", "classic"), (Rabbit, "rabbitmq quorum", "quorum")]
    for make, name, which in reversed(kinds) if backwards else kinds:
        yield make(name, arguments, which)


def measure_system(server, arguments, results):
    name, secs = server.name, arguments.secs
    with server:
        server.load("ping-push", {"secs": 0.3})
        for measure, mode, options in (("one at a time", "ping-push", {}), ("publish", "push", {"window": 1000}),
                                       ("end to end", "cycle", {}), ("latency 2000/s", "latency", {"rate": 2000}),
                                       ("latency 5000/s", "latency", {"rate": 5000})):
            server.order("reset")
            results.take(name, measure, server.load(mode, {"secs": secs, **options}))
        server.order("reset")
        server.order("fill", jobs=DRAINED)
        results.take(name, "consume", server.load("drain", {"jobs": DRAINED}))


def measure_memory(arguments, results):
    for server in systems(arguments):
        with server:
            server.order("reset")
            empty = process_use(server.pid())[1]
            server.order("fill", jobs=arguments.backlog, size=1024)
            time.sleep(3)
            results.add(server.name, "memory", process_use(server.pid())[1] - empty)
            print(f"  {server.name}: memory: {process_use(server.pid())[1] - empty:,} bytes", file=sys.stderr)


MEASURES = ("publish", "consume", "end to end")
# What the goals in microseconds were set beside: RabbitMQ's better queue on the machine of that day. How many times
# less a message takes is the same goal on any machine.
CPU_GOALS = {"publish": (1.5, 16), "consume": (1.5, 5.8), "end to end": (3.5, 31)}
RATE_GOALS = {"publish": 4, "consume": 1.5, "end to end": 4}


def table(results, names):
    def cell(name, measure, form="{:,.0f}"):
        value = results.median(name, measure)
        return "–" if value is None else form.format(value)
    yield "| | " + " | ".join(names) + " |"
    yield "|---|" + "---:|" * len(names)
    for measure in MEASURES:
        yield f"| {measure}, messages/s | " + " | ".join(cell(name, f"{measure} jobs_per_second") for name in names) + " |"
        yield f"| {measure}, server CPU a message, µs | " + " | ".join(
            cell(name, f"{measure} server_cpu_us_per_job", "{:.2f}") for name in names) + " |"
    yield "| one at a time, confirmed/s | " + " | ".join(cell(name, "one at a time jobs_per_second") for name in names) + " |"
    for rate in (2000, 5000):
        for key in ("p50_us", "p99_us"):
            yield f"| end to end at {rate:,}/s, {key[:3]}, µs | " + " | ".join(
                cell(name, f"latency {rate}/s {key}") for name in names) + " |"
        yield "| … of this time a processor stood still | " + " | ".join(
            cell(name, f"latency {rate}/s stood_still", "{:.1%}") for name in names) + " |"
        yield f"| end to end at {rate:,}/s, p99 of messages on whose way none did, µs | " + " | ".join(
            cell(name, f"latency {rate}/s undisturbed_p99_us") for name in names) + " |"
    if results.median("sluice", "memory") is not None:
        yield "| a million queued of 1 KiB, resident MiB | " + " | ".join(
            "–" if results.median(name, "memory") is None else f"{results.median(name, 'memory') / 2**20:,.0f}"
            for name in names) + " |"
    yield "| cores that others used, worst round | " + " | ".join(
        f"{max((max(values) for key, values in results.values.get(name, {}).items() if key.endswith('foreign')), default=0):.2f}"
        for name in names) + " |"


def verdict(is_reached):
    return "reached" if is_reached else "MISSED"


def ratio_to(results, names, measure, better=max):
    """The median of the rounds' ratios: what the machine is like changes from round to round."""
    rounds = list(zip(*(results.values.get(name, {}).get(measure, []) for name in ("sluice", *names))))
    return statistics.median(ours / better(theirs) for ours, *theirs in rounds) if rounds else None


def goals(results):
    def of(name, measure):
        return results.median(name, measure)

    def ratio(measure, better=max):
        return ratio_to(results, ("rabbitmq classic", "rabbitmq quorum"), measure, better)
    yield "| goal | wanted | measured |"
    yield "|---|---|---|"
    for measure in MEASURES:
        most, theirs = CPU_GOALS[measure]
        value, times = of("sluice", f"{measure} server_cpu_us_per_job"), ratio(f"{measure} server_cpu_us_per_job", min)
        yield f"| {measure}: server CPU a message | ≤ {most} µs | {value:.2f} µs: {verdict(value <= most)} |"
        if times:
            wanted = most / theirs
            yield (f"| {measure}: server CPU a message / the better one of RabbitMQ's | ≤ {wanted:.3f} ({most} of {theirs} µs) | "
                   f"{times:.3f}: {verdict(times <= wanted)} |")
        value, wanted = ratio(f"{measure} jobs_per_second"), RATE_GOALS[measure]
        if value:
            yield f"| {measure}: rate / the better one of RabbitMQ's | ≥ {wanted} | {value:.1f}: {verdict(value >= wanted)} |"
    value, took, limit = (ratio("one at a time jobs_per_second"), of("sluice", "one at a time p50_us"),
                          of("machine", "synced-pingpong p50_us"))
    if value:
        yield (f"| one at a time with confirm: rate / the better one | ≥ 2 | {value:.2f}: {verdict(value >= 2)}; p50 {took:.0f} µs is "
               f"{took / limit:.2f} × that of a program which writes, syncs and echoes ({limit:.0f} µs) |")
    for rate in (2000, 5000):
        for key in ("p50_us", "p99_us"):
            value = ratio(f"latency {rate}/s {key}", min)
            if value:
                yield f"| end to end at {rate:,}/s: {key[:3]} / the better one | < 1 | {value:.2f}: {verdict(value < 1)} |"
        value = ratio(f"latency {rate}/s undisturbed_p99_us", min)
        if value:
            yield (f"| end to end at {rate:,}/s: p99 / the better one, of messages on whose way no processor stood still | "
                   f"< 1 | {value:.2f}: {verdict(value < 1)} |")
    if of("sluice", "memory"):
        value = ratio("memory", min)
        if value:
            yield f"| memory of a million queued 1 KiB messages / the smaller one | ≤ 0.25 | {value:.2f}: {verdict(value <= 0.25)} |"


def changes(results):
    """What today's build is beside the one before."""
    yield "| sluice / sluice before | rate | server CPU a message | p50 | p99 |"
    yield "|---|---:|---:|---:|---:|"
    for measure in (*MEASURES, "one at a time", "latency 2000/s", "latency 5000/s"):
        ratios = [ratio_to(results, (BEFORE,), f"{measure} {key}")
                  for key in ("jobs_per_second", "server_cpu_us_per_job", "p50_us", "p99_us")]
        yield f"| {measure} | " + " | ".join("–" if each is None else f"{each:.2f}" for each in ratios) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/sluice")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "build/bench-data")
    parser.add_argument("--peers", type=pathlib.Path, default=ROOT / "build/peers")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--secs", type=float, default=2)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--only", default="rounds memory", help="rounds, memory")
    parser.add_argument("--before", type=pathlib.Path, help="another build of Sluice to stand beside this one")
    parser.add_argument("--alone", action="store_true", help="without RabbitMQ")
    arguments = parser.parse_args()
    arguments.binary, arguments.data, arguments.peers = (
        path.resolve() for path in (arguments.binary, arguments.data, arguments.peers))
    arguments.before = arguments.before and arguments.before.resolve()
    subprocess.run(["make", "-s", "-C", ROOT / "bench/peers", f"OUT={arguments.peers}"], check=True)
    arguments.data.mkdir(parents=True, exist_ok=True)
    results = Results()
    if "rounds" in arguments.only:
        for number in range(arguments.runs):
            print(f"round {number + 1} of {arguments.runs}", file=sys.stderr)
            compare.measure_limits(arguments, results)
            for server in systems(arguments, backwards=number % 2 == 1):
                measure_system(server, arguments, results)
    if "memory" in arguments.only:
        measure_memory(arguments, results)
    names = [name for name in ("sluice", BEFORE, "rabbitmq classic", "rabbitmq quorum") if name in results.values]
    print(f"{platform.node()}, {os.cpu_count()} cores, {arguments.runs} rounds of {arguments.secs:g} s, 100 B, window 1,000, "
          "prefetch 1,000, acks of up to 100 at once; medians\n")
    print("\n".join(table(results, names)))
    if "rounds" in arguments.only:
        print()
        print("\n".join(goals(results)))
    if "rounds" in arguments.only and arguments.before:
        print()
        print("\n".join(changes(results)))


if __name__ == "__main__":
    main()
