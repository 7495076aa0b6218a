#!/usr/bin/env python3
"""kill -9 under load, again and again on one data directory, and in the end nothing acknowledged is lost.

    crash_test.py [--cycles 300] [--seed N] [--amqp]

Each cycle starts the server, lets producers and workers loose, and ends it: by kill -9 after 5 to 300 ms, by kill -9
at a named point of the journal's work (POINTS), by SIGSTOP and kill, or by SIGTERM. Before some the server is killed
at a point of its recovery. Some go on after a SIGSTOP of up to 150 ms; some see a second server try the same
directory. Segments are tiny and a third of the jobs stay for long, so that cleaning copies and unlinks all the
time. What was asked and answered is judged by ledger.py; over AMQP by amqp_ledger.py.
"""
import argparse
import collections
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "faults"))
from faults import Faults  # noqa: E402
from harness import BINARY, Server  # noqa: E402
from ledger import Ledger  # noqa: E402
from load import Load  # noqa: E402

SEGMENT, NEW_SEGMENT, DIRECTORY = ".seg", "recovery.tmp", "/data"
# Where the process dies: the system call, on which file, and at which moment of it. While it serves …
POINTS = {
    "journal.before_write": ("pwrite", SEGMENT, "kill before"),
    "journal.mid_write": ("pwrite", SEGMENT, "kill middle"),
    "journal.after_write": ("pwrite", SEGMENT, "kill after"),
    "journal.before_sync": ("fdatasync", SEGMENT, "kill before"),
    "journal.after_sync": ("fdatasync", SEGMENT, "kill after"),
    "roll.before_create": ("create", SEGMENT, "kill before"),
    "roll.after_create": ("create", SEGMENT, "kill after"),
    "roll.after_allocate": ("fallocate", SEGMENT, "kill after"),
    "roll.after_directory_sync": ("fsync", DIRECTORY, "kill after"),
    "cleaning.before_unlink": ("unlinkat", SEGMENT, "kill before"),
    "cleaning.after_unlink": ("unlinkat", SEGMENT, "kill after"),
    "reply.before_send": ("send", "", "kill before"),
    "reply.mid_send": ("send", "", "kill middle"),
}
# … while it recovers, …
START_POINTS = {
    "recovery.before_read": ("pread", SEGMENT, "kill before"),
    "recovery.before_unlink": ("unlinkat", DIRECTORY, "kill before"),
    "recovery.after_unlink": ("unlinkat", DIRECTORY, "kill after"),
    "recovery.after_create": ("create", NEW_SEGMENT, "kill after"),
    "recovery.mid_write": ("pwrite", NEW_SEGMENT, "kill middle"),
    "recovery.after_write": ("pwrite", NEW_SEGMENT, "kill after"),
    "recovery.after_sync": ("fdatasync", NEW_SEGMENT, "kill after"),
    "recovery.before_rename": ("renameat", NEW_SEGMENT, "kill before"),
    "recovery.after_rename": ("renameat", NEW_SEGMENT, "kill after"),
    "recovery.before_cut": ("ftruncate", SEGMENT, "kill before"),
    "recovery.after_cut": ("ftruncate", SEGMENT, "kill after"),
    "epoch.mid_write": ("pwrite", SEGMENT, "kill middle"),
    "epoch.before_sync": ("fdatasync", SEGMENT, "kill before"),
    "epoch.after_sync": ("fdatasync", SEGMENT, "kill after"),
}
# … and after SIGTERM.
STOP_POINTS = {
    "stop.mid_write": ("pwrite", SEGMENT, "kill middle"),
    "stop.before_sync": ("fdatasync", SEGMENT, "kill before"),
    "stop.after_sync": ("fdatasync", SEGMENT, "kill after"),
}
# A point is the nth such call after the load began, up to here.
SERVE_NTH_MAX = {"pwrite": 60, "fdatasync": 40, "send": 60, "create": 2, "fallocate": 2, "fsync": 2, "unlinkat": 2}
EVERY_POINT_CYCLES = 300  # so many reach every point
KILLED = -signal.SIGKILL


class Crash:
    def __init__(self, cycles, seed, tool, load):
        self.cycles, self.seed, self.random = cycles, seed, random.Random(seed)
        self.tool, self.load, self.ledger, self.faults = tool, load, load.ledger, Faults()
        self.folder = tempfile.mkdtemp(prefix="sluice-crash-")
        self.server = Server(directory=self.folder, start=False, environment=self.faults.environment)
        self.start_seconds, self.counts = [], collections.Counter()
        self.armed = None  # the name of the point that may strike
        self.kills = collections.Counter(dict.fromkeys((*POINTS, *START_POINTS, *STOP_POINTS), 0))

    # -- The server's life. --------------------------------------------------------------------------

    def arm(self, points, nth_max):
        """Arms a point: every other time one that has struck least so far."""
        names = self.random.sample(sorted(points), len(points))
        name = min(names, key=self.kills.get) if self.random.random() < 0.5 else names[0]
        kind, path, action = points[name]
        self.faults.arm(kind, self.random.randint(1, nth_max.get(kind, 1)), action, path=path)
        self.armed = name
        return name

    def start(self, is_killed=False):
        """Starts the server, after a kill at one of the points of its start if there is one on the way."""
        size = self.random.choice(("4KiB", "16KiB", "64KiB", "64KiB", "1MiB"))
        self.server.options = ["--segment-bytes", size, *self.load.options]
        for _ in range(self.random.choice((1, 1, 2, 3)) if is_killed else 0):
            name = self.arm(START_POINTS, {"pread": 6, "pwrite": 2})
            self.ledger.server_starts()
            self.server.spawn().listening.wait()
            if self.server.port is not None:
                self.faults.disarm()
                if not self.faults.injected:
                    return  # This start had no such call.
            self.died(name, self.server.wait_exit())
        self.faults.disarm()
        self.ledger.server_starts()
        before = time.monotonic()
        self.server.start()
        self.start_seconds.append(time.monotonic() - before)

    def died(self, name, code):
        self.ledger.server_ended()
        self.kills[name] += 1
        self.armed = None
        if code != KILLED:
            self.ledger.violate("exit code", f"ended with {code} at {name}\n{self.server.output()}")

    def kill(self, name="random"):
        """A point that is armed may strike first, at any moment until the process is gone."""
        self.faults.disarm()
        self.server.process.kill()
        code = self.server.wait_exit()
        self.died(self.armed if self.armed and self.faults.injected else name, code)

    def kill_at(self, name, seconds):
        """Waits for the kill at a point; kills it anyway if its load does not get there in this time."""
        try:
            self.died(name, self.server.wait_exit(seconds))
        except subprocess.TimeoutExpired:
            self.kill()

    def terminate(self):
        self.load.stopping = True
        name = self.arm(STOP_POINTS, {"pwrite": 2, "fdatasync": 2}) if self.random.random() < 0.5 else None
        code = self.server.terminate()
        if name and code == KILLED:
            return self.died(name, code)
        self.ledger.server_ended()
        self.counts["SIGTERM"] += 1
        if code != 0:
            self.ledger.violate("exit code", f"SIGTERM: exit code {code}\n{self.server.output()}")

    # -- A cycle. ------------------------------------------------------------------------------------

    def second_server(self):
        second = Server(directory=self.folder, start=False).spawn()
        code = second.wait_exit()
        self.counts["second servers refused"] += 1
        if code == 0 or second.port is not None:
            self.ledger.violate("two servers", f"a second one started on the same directory (exit {code})")

    def pause(self):
        """Time passes for everybody but the server."""
        self.server.process.send_signal(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.01, 0.15))
        self.counts["SIGSTOP"] += 1

    def cycle(self, number):
        self.start(is_killed=number % 3 == 0)
        if number == 1:
            self.load.prepare(self.server)
        self.load.run(self.server)
        if number % 10 == 5:
            self.second_server()
        if number % 10 == 7:
            self.pause()
            self.server.process.send_signal(signal.SIGCONT)
        seconds = self.random.uniform(0.005, 0.3)  # when the crash comes, not a synchronisation
        if number % 2 == 0:
            self.kill_at(self.arm(POINTS, SERVE_NTH_MAX), seconds)
        elif number % 10 == 9:
            time.sleep(seconds)
            self.terminate()
        else:
            time.sleep(seconds)
            if number % 20 == 3:
                self.pause()
            self.kill("stopped" if number % 20 == 3 else "random")
        self.load.join()

    def finish(self):
        self.start()
        self.load.drain(self.server)
        self.server.terminate()
        check = subprocess.run([BINARY, "check", self.folder + "/data"], capture_output=True, text=True,
                               timeout=60, stdin=subprocess.DEVNULL)
        if check.returncode != 0:
            self.ledger.violate("check", f"sluice check finds fault:\n{check.stdout}{check.stderr}")

    def run(self):
        began = time.monotonic()
        try:
            for number in range(1, self.cycles + 1):
                self.cycle(number)
                if self.ledger.violations:
                    break
            if not self.ledger.violations:
                self.finish()
                self.ledger.judge()
            if self.cycles >= EVERY_POINT_CYCLES and 0 in self.kills.values():
                self.ledger.violate("test", f"points that were never reached: {self.kills}")
        except AssertionError as error:
            self.ledger.violate("server", str(error))
        finally:
            if self.server.process:
                self.server.process.kill()
                self.server.wait_exit()
            self.load.join()
            self.faults.close()
        return self.report(time.monotonic() - began)

    def keep(self):
        """Moves the data directory to the build's."""
        kept = BINARY.parent / f"crash-{self.seed}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.move(self.folder, kept)
        return kept

    def report(self, seconds):
        starts = sorted(self.start_seconds)
        print(f"crash: {self.cycles} cycles in {seconds:.0f} s, seed {self.seed}; start took "
              f"{starts[len(starts) // 2] * 1000:.0f} ms (median), {starts[-1] * 1000:.0f} ms (longest)")
        kills = {f"kill -9: {name}": count for name, count in self.kills.items()}
        counts = {self.tool.replace("crash", "kill_cycles"): sum(self.kills.values()), **kills, **self.counts, **self.ledger.counts}
        for name, count in sorted(counts.items()):
            print(f"  {name:<62} {count:>9,}")
        violations = self.ledger.violations
        for verdict, what in violations[:20]:
            print("VIOLATION", f"{verdict}: {what}")
        if violations:
            print(f"{len(violations)} violations; again with: ./dev crash --cycles {self.cycles} "
                  f"--seed {self.seed}{' --amqp' if self.tool == 'amqp_crash' else ''}\nthe data directory is kept: {self.keep()}")
        else:
            shutil.rmtree(self.folder)
        print("ledger:", json.dumps({"tool": self.tool, "counts": counts, "failures": len(violations)}))
        return 1 if violations else 0


def main():
    parser = argparse.ArgumentParser(description="kill -9 the server under load, again and again")
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--amqp", action="store_true", help="the load of AMQP clients")
    options = parser.parse_args()
    if options.amqp:
        from amqp_ledger import AmqpLedger  # Needs pika, which is Debian's own Python's.
        from amqp_load import AmqpLoad
        crash = Crash(options.cycles, options.seed, "amqp_crash", AmqpLoad(AmqpLedger(), options.seed))
    else:
        crash = Crash(options.cycles, options.seed, "crash", Load(Ledger(), options.seed))
    sys.exit(crash.run())


if __name__ == "__main__":
    main()
