#!/usr/bin/env python3
"""Measures Sluice and its peers on this machine, in one go, alternating, and prints the medians as Markdown.

    python3 bench/compare.py                       # everything, three rounds: about ten minutes
    python3 bench/compare.py --only 'rounds' --runs 1 --secs 1
    python3 bench/compare.py --only 'backlog|delayed' --json out.json

Every server gets an empty directory below --data on the same disk and a free port of 127.0.0.1, and is ended by
its process id. Server CPU is what the scheduler charged its threads while the load ran. `foreign` is how many
cores other processes of the machine used meanwhile: above 0.1 a figure means little. bench/README.md says more.
"""
import argparse
import atexit
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
START_SECONDS_MAX = 300
FOREIGN_CORES_MAX = 0.1


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def process_use(pid):
    """(CPU seconds of its living threads, resident bytes)."""
    cpu = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        cpu += int((task / "schedstat").read_text().split()[0])
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return cpu / 1e9, pages * os.sysconf("SC_PAGESIZE")


def busy_seconds():
    """CPU time that all processes of the machine have used."""
    fields = [int(value) for value in open("/proc/stat").readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, _steal = fields
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def run(command):
    """A load's JSON document."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=1800)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return json.loads(done.stdout)


class Server:
    """A process with a directory of its own; ended with the `with` block."""

    def __init__(self, name, data):
        self.name, self.port = name, free_port()
        self.folder = pathlib.Path(data) / name.replace(" ", "-")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.process = None
        atexit.register(self.end)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end()

    def start(self):
        started = time.monotonic()
        self.log = open(self.folder / "log", "w+")
        self.process = subprocess.Popen([str(word) for word in self.command()], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, cwd=self.folder)
        while not self.is_up():
            if self.process.poll() is not None or time.monotonic() - started > START_SECONDS_MAX:
                self.log.seek(0)
                raise RuntimeError(f"{self.name} did not start: {self.log.read()[-2000:]}")
            time.sleep(0.01)
        return time.monotonic() - started

    def is_up(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self, number=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(120)

    def end(self):
        self.kill(signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def load(self, mode, options):
        """Runs one load; `foreign` is what others used of the machine, in cores."""
        before = busy_seconds(), process_use(self.process.pid)[0], self.own_cpu(), time.monotonic()
        result = run(self.load_command(mode, options))
        seconds = time.monotonic() - before[3]
        ours = process_use(self.process.pid)[0] - before[1] + self.own_cpu() - before[2]
        result["foreign"] = max(0.0, (busy_seconds() - before[0] - ours) / seconds)
        return result

    @staticmethod
    def own_cpu():
        total = 0
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
            use = resource.getrusage(who)
            total += use.ru_utime + use.ru_stime
        return total


class Sluice(Server):
    def __init__(self, arguments, sync="always"):
        super().__init__("sluice", arguments.data)
        self.binary, self.sync = arguments.binary, sync

    def command(self):
        return [self.binary, "serve", "--data", self.folder / "data", "--resp", f"127.0.0.1:{self.port}",
                "--sync", self.sync, "--amqp", "off"]

    def load_command(self, mode, options):
        words = [word for key, value in options.items() for word in (f"--{key}", value)]
        return [self.binary, "bench", mode, "--json", "--url", f"sluice://127.0.0.1:{self.port}",
                "--server-pid", self.process.pid, *words]


class Peer(Server):
    program, kind = None, None

    def __init__(self, name, arguments):
        super().__init__(name, arguments.data)
        self.loads = arguments.peers

    def load_command(self, mode, options):
        kind = ["--kind", self.kind] if self.kind else []
        words = [word for key, value in options.items() for word in (f"--{key}", value)]
        return [self.loads / self.program, mode, "--port", self.port, "--server-pid", self.process.pid, *kind, *words]


class Redis(Peer):
    program, kind = "redis", "list"

    def __init__(self, arguments, fsync):
        super().__init__(f"redis {fsync}", arguments)
        self.fsync = fsync

    def command(self):
        return ["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--dir", self.folder, "--save", "",
                "--appendonly", "yes", "--appendfsync", self.fsync, "--auto-aof-rewrite-percentage", "0"]

    def load(self, mode, options):
        subprocess.run([self.loads / "redis", "reset", "--port", str(self.port)], check=True)
        return super().load(mode, options)


class Beanstalkd(Peer):
    program = "beanstalk"

    def __init__(self, arguments):
        super().__init__("beanstalkd -f0", arguments)

    def command(self):
        return ["beanstalkd", "-l", "127.0.0.1", "-p", self.port, "-b", self.folder, "-f0"]


class Results:
    """Values by system and measure; what is reported is the median."""

    def __init__(self):
        self.values = {}

    def add(self, system, measure, value):
        if value is not None:
            self.values.setdefault(system, {}).setdefault(measure, []).append(value)

    def take(self, system, measure, result):
        for key in ("jobs_per_second", "server_cpu_us_per_job", "p50_us", "p99_us", "max_us", "foreign", "stood_still",
                    "undisturbed_p50_us", "undisturbed_p99_us"):
            self.add(system, f"{measure} {key}", result.get(key))
        told = [f"{key} {result[key]:,.2f}" for key in
                ("jobs_per_second", "server_cpu_us_per_job", "p50_us", "p99_us", "foreign", "stood_still",
                 "undisturbed_p99_us") if key in result]
        print(f"  {system}: {measure}:", *told, file=sys.stderr)

    def median(self, system, measure):
        found = self.values.get(system, {}).get(measure)
        return statistics.median(found) if found else None


def measure_limits(arguments, results):
    for mode in ("pingpong", "fdatasync", "synced-pingpong"):
        result = run([arguments.peers / "limits", mode, "--secs", arguments.secs, "--dir", arguments.data])
        results.take("machine", mode, result)


def measure_system(server, arguments, results):
    name, secs = server.name, arguments.secs
    with server:
        server.load("ping-push", {"secs": 0.3})  # Warm: files allocated, code paged in.
        results.take(name, "ping-push", server.load("ping-push", {"secs": secs}))
        if isinstance(server, Beanstalkd):
            results.take(name, "push", server.load("push", {"secs": secs, "window": 1000}))
            return  # It has no purge: what follows would first have to take what push left.
        results.take(name, "latency 5000/s", server.load("latency", {"secs": secs, "rate": 5000}))
        results.take(name, "push", server.load("push", {"secs": secs, "window": 1000}))
        results.take(name, "cycle", server.load("cycle", {"secs": secs}))
        if isinstance(server, Redis):
            server.kind = "simple"
            results.take(name, "cycle unacknowledged", server.load("cycle", {"secs": secs}))


def measure_rounds(arguments, results):
    for number in range(arguments.runs):
        print(f"round {number + 1} of {arguments.runs}", file=sys.stderr)
        measure_limits(arguments, results)
        for make in (lambda: Sluice(arguments), lambda: Redis(arguments, "everysec"),
                     lambda: Redis(arguments, "always"), lambda: Beanstalkd(arguments)):
            measure_system(make(), arguments, results)
        for mode, options in (("cycle", {}), ("latency", {"rate": 1000})):
            with Beanstalkd(arguments) as server:
                measure = f"latency {options['rate']}/s" if options else mode
                results.take(server.name, measure, server.load(mode, {"secs": arguments.secs, **options}))


def measure_backlog(arguments, results):
    """Memory of a backlog and the time until a killed server listens again."""
    with Sluice(arguments) as server:
        empty = process_use(server.process.pid)[1]
        result = run([arguments.binary, "bench", "fill", arguments.backlog, "--json", "--url",
                      f"sluice://127.0.0.1:{server.port}"])
        results.take("sluice", "fill", result)
        full = process_use(server.process.pid)[1]
        server.kill()
        seconds = server.start()
        recovered = process_use(server.process.pid)[1]
        for key, value in (("empty bytes", empty), ("filled bytes", full), ("recovered bytes", recovered),
                           ("recovery seconds", seconds), ("jobs", result["jobs"])):
            results.add("sluice", f"backlog {key}", value)


def measure_delayed(arguments, results):
    """What waiting costs: CPU of a server with jobs that are delayed by random times up to an hour."""
    with Sluice(arguments) as server:
        run([arguments.binary, "bench", "delayed", arguments.delayed, "--over", "1h", "--json", "--url",
             f"sluice://127.0.0.1:{server.port}"])
        time.sleep(2)
        before, started = process_use(server.process.pid)[0], time.monotonic()
        time.sleep(10)
        used, memory = process_use(server.process.pid)
        seconds = time.monotonic() - started
        results.add("sluice", "delayed cpu percent", (used - before) / seconds * 100)
        results.add("sluice", "delayed bytes", memory)


def shown(value, digits):
    if value is None:
        return "–"
    return f"{value:,.{digits}f}" if digits else f"{value:,.0f}"


def table(rows):
    lines = ["| " + " | ".join(rows[0]) + " |", "|---|" + "--:|" * (len(rows[0]) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows[1:]])


SYSTEMS = ("sluice", "redis everysec", "redis always", "beanstalkd -f0")
MEASURES = (  # label, key, digits, whether more is better
    ("push, window 1000: jobs/s", "push jobs_per_second", 0, True),
    ("… server CPU, µs a job", "push server_cpu_us_per_job", 2, False),
    ("push → pull → ack: jobs/s", "cycle jobs_per_second", 0, True),
    ("… server CPU, µs a job", "cycle server_cpu_us_per_job", 2, False),
    ("push → pop, no ack (Redis only): jobs/s", "cycle unacknowledged jobs_per_second", 0, True),
    ("… server CPU, µs a job", "cycle unacknowledged server_cpu_us_per_job", 2, False),
    ("one at a time: p50, µs", "ping-push p50_us", 1, False),
    ("… p99, µs", "ping-push p99_us", 1, False),
    ("push → worker at 5,000/s: p50, µs", "latency 5000/s p50_us", 1, False),
    ("… p99, µs", "latency 5000/s p99_us", 1, False),
    ("push → worker at 1,000/s: p50, µs", "latency 1000/s p50_us", 1, False),
    ("… p99, µs", "latency 1000/s p99_us", 1, False),
)


def report_rounds(arguments, results):
    systems = [system for system in SYSTEMS if system in results.values]
    rows = [["", *systems]]
    ratios = [["Sluice against", *systems[1:]]]
    for label, key, digits, _ in MEASURES:
        values = [results.median(system, key) for system in systems]
        if not any(values):
            continue
        rows.append([label, *(shown(value, digits) for value in values)])
        if values[0] and any(values[1:]):
            ratios.append([label.split(":")[0] if label[0] != "…" else label,
                           *(f"{values[0] / value:.2f} ×" if value else "–" for value in values[1:])])
    foreign = [max([value for key, values in results.values[system].items() if key.endswith(" foreign")
                    for value in values], default=None) for system in systems]
    rows.append(["cores used by others, worst run", *(shown(value, 2) for value in foreign)])
    print(f"Medians of {arguments.runs} rounds of {arguments.secs} s.\n\n{table(rows)}\n")
    print("Ratios, value of Sluice / value of the peer. Redis everysec and its unacknowledged pop are less "
          f"durable than what they are compared with.\n\n{table(ratios)}\n")
    noisy = max([value for value in foreign if value is not None], default=0)
    if noisy > FOREIGN_CORES_MAX:
        print(f"**Other processes used up to {noisy:.1f} cores meanwhile: rates and latencies mean little; only CPU per "
              "job is comparable.**\n")
    trip, sync = results.median("machine", "pingpong p50_us"), results.median("machine", "fdatasync p50_us")
    echo, one = results.median("machine", "synced-pingpong p50_us"), results.median("sluice", "ping-push p50_us")
    if trip and sync and echo and one:
        print(f"One loopback round trip: {trip:.1f} µs; one fdatasync of 100 bytes in place: {sync:.1f} µs; one durable "
              f"push: {one:.1f} µs = {one / (trip + sync):.2f} × their sum and {one / echo:.2f} × a program that writes, syncs and "
              f"echoes ({echo:.1f} µs).\n")


def report_goals(results):
    def value(measure, system="sluice"):
        return results.median(system, measure)

    sums = [value("pingpong p50_us", "machine"), value("fdatasync p50_us", "machine")]
    goals = [
        ("push: jobs/s", value("push jobs_per_second"), ">=", 1_000_000, 0),
        ("push: jobs/s of Redis everysec", value("push jobs_per_second"), ">=",
         value("push jobs_per_second", "redis everysec"), 0),
        ("push: server CPU, µs a job", value("push server_cpu_us_per_job"), "<=", 0.9, 2),
        ("cycle: jobs/s", value("cycle jobs_per_second"), ">=", 500_000, 0),
        ("cycle: server CPU, µs a job", value("cycle server_cpu_us_per_job"), "<=", 1.8, 2),
        ("one at a time: p50, µs, of 1.5 × (round trip + fdatasync)", value("ping-push p50_us"), "<=",
         1.5 * sum(sums) if all(sums) else None, 1),
        ("latency at 5,000/s: p50, µs", value("latency 5000/s p50_us"), "<=", 500, 1),
        ("latency at 5,000/s: p99, µs", value("latency 5000/s p99_us"), "<=", 2000, 1),
        ("backlog: resident, GB", value("backlog filled bytes"), "<=", 1.2e9, 0),
        ("backlog: recovery, s", value("backlog recovery seconds"), "<=", 15, 2),
        ("delayed jobs that wait: CPU, %", value("delayed cpu percent"), "<=", 5, 2),
    ]
    rows = [["goal", "", "measured", "reached"]]
    for label, measured, relation, goal, digits in goals:
        if measured is None or goal is None:
            continue
        is_reached = measured >= goal if relation == ">=" else measured <= goal
        scale = 1e9 if "GB" in label else 1
        digits = 3 if scale != 1 else digits
        rows.append([label, f"{'≥' if relation == '>=' else '≤'} {shown(goal / scale, digits)}",
                     shown(measured / scale, digits), "yes" if is_reached else "**no**"])
    if len(rows) > 1:
        print(table(rows) + "\n")


def report_settings(arguments):
    def first_line(command):
        try:
            return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip().split("\n")[0]
        except OSError:
            return "missing"

    model = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    print(f"Machine: {os.cpu_count()} cores, {model[1] if model else platform.machine()}, Linux {platform.release()}, "
          f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGESIZE') / 2**30:.0f} GiB; load before the run "
          f"{os.getloadavg()[0]:.1f}.")
    print(f"Sluice: {os.path.relpath(arguments.binary, ROOT)}, {first_line([arguments.binary, 'version'])}, commit "
          f"{first_line(['git', 'rev-parse', '--short', 'HEAD'])}, `--sync always`, finished jobs not kept.")
    print(f"Redis: {first_line(['redis-server', '--version'])}; append-only file, no rewrites, reliable pattern "
          "RPUSH → LMOVE → LREM. beanstalkd: " + first_line(["beanstalkd", "-v"]) + ", `-f0`.")
    print("Client and server share the machine; payload 100 bytes; loopback.\n")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/sluice")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "build/bench-data",
                        help="directory for the servers; its disk is what is measured")
    parser.add_argument("--peers", type=pathlib.Path, default=ROOT / "build/peers", help="where their loads are built")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--secs", type=float, default=2)
    parser.add_argument("--backlog", type=int, default=10_000_000)
    parser.add_argument("--delayed", type=int, default=1_000_000)
    parser.add_argument("--only", default=".", help="regular expression: rounds, backlog, delayed")
    parser.add_argument("--json", type=pathlib.Path, help="also write every value there")
    arguments = parser.parse_args()
    arguments.binary, arguments.data = arguments.binary.resolve(), arguments.data.resolve()
    arguments.peers = arguments.peers.resolve()
    return arguments


def main():
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that atexit ends the servers.
    if not arguments.binary.exists():
        sys.exit(f"{arguments.binary} is missing; build it with ./dev build")
    subprocess.run(["make", "-s", "-C", ROOT / "bench/peers", f"OUT={arguments.peers}"], check=True)
    arguments.data.mkdir(parents=True, exist_ok=True)
    report_settings(arguments)
    results = Results()
    for name, measure in (("rounds", measure_rounds), ("backlog", measure_backlog), ("delayed", measure_delayed)):
        if re.search(arguments.only, name):
            measure(arguments, results)
    if "push jobs_per_second" in results.values.get("sluice", {}):
        report_rounds(arguments, results)
    for label, key in (("empty", "backlog empty bytes"), (f"with {arguments.backlog:,} jobs", "backlog filled bytes"),
                       ("after their recovery", "backlog recovered bytes")):
        if results.median("sluice", key):
            print(f"Resident {label}: {results.median('sluice', key) / 1e6:,.0f} MB.")
    print()
    report_goals(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results.values, indent=1))


if __name__ == "__main__":
    main()
