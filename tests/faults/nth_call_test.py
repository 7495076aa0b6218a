#!/usr/bin/env python3
"""Every system call that the server makes fails once: the first of its kind, the second, … until one run has none.

    nth_call_test.py [--full] [--scenario NAME] [--fault NAME] [--nth N] [--workers N]

A loop is a scenario and a fault (scenarios.py, FAULTS). Its Nth run lets the Nth such call fail, or that one and all
after it. Whatever fails, the server has to go on correctly, or to end by itself with a documented exit code and a
line that says why; then it starts again without faults, has everything that it had acknowledged, and `sluice check`
finds nothing. The short form goes through allocations, calls on sockets and what can be tried again with growing steps,
--full through all of them.
"""
import argparse
import collections
import concurrent.futures
import errno
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from faults import ALWAYS, Faults  # noqa: E402
from harness import BINARY, Closed, RespError  # noqa: E402
from scenarios import QUEUE, SCENARIOS, Life  # noqa: E402

EX_UNAVAILABLE, EX_OSERR, EX_IOERR = 69, 71, 74
NETWORK = "accept", "recv", "send", "setsockopt", "epoll_ctl", "epoll_wait"
BURST = 5              # a failure that passes: of what the server is right to try again and again
CALLS_MAX = 20_000     # a loop that reaches no clean pass by then fails
END_SECONDS_MAX = 10.0
GONE = (Closed, OSError)


class Fault:
    """`ends`: the exit codes with which the server may end because of it; none: it has to go on. In the short form
    those that can end it are gone through call by call, the many others with growing steps."""

    def __init__(self, kind, error, *ends, action="fail", count=1):
        self.kind, self.error, self.ends, self.action, self.count = kind, error, ends, action, count
        self.is_dense = bool(ends) and kind not in ("malloc", *NETWORK)
        what = action if action != "fail" else errno.errorcode[error]
        self.name = f"{kind} {what}" + {1: "", ALWAYS: " always"}.get(count, f" {count} times")


def faults():
    """Each failure once and from then on. What may be tried again (EINTR) and what passes comes in bursts."""
    refused = EX_UNAVAILABLE, EX_OSERR
    for count in (1, ALWAYS):
        for kind in ("pwrite", "pread", "fdatasync", "fsync", "fstat", "renameat", "unlinkat", "readdir"):
            yield Fault(kind, errno.EIO, EX_IOERR, count=count)
        for kind in ("pwrite", "fallocate", "mkdir", "create"):
            yield Fault(kind, errno.ENOSPC, EX_IOERR, count=count)
        for kind in ("create", "open"):
            yield Fault(kind, errno.EMFILE, EX_IOERR, count=count)
        yield Fault("ftruncate", errno.EIO, EX_IOERR, count=count)
        yield Fault("flock", errno.ENOLCK, EX_IOERR, count=count)
        yield Fault("fallocate", errno.EOPNOTSUPP, count=count)
        yield Fault("fstatvfs", errno.EIO, count=count)
        for kind in ("pwrite", "pread", "recv", "send"):
            yield Fault(kind, 0, action="shorten", count=count)
        yield Fault("socket", errno.EMFILE, EX_UNAVAILABLE, count=count)
        yield Fault("bind", errno.EADDRINUSE, EX_UNAVAILABLE, count=count)
        yield Fault("listen", errno.EADDRINUSE, EX_UNAVAILABLE, count=count)
        yield Fault("setsockopt", errno.ENOBUFS, EX_UNAVAILABLE, count=count)
        yield Fault("recv", errno.ECONNRESET, count=count)
        yield Fault("send", errno.EPIPE, count=count)
        for kind in ("epoll_create", "eventfd", "signalfd", "timerfd"):
            yield Fault(kind, errno.EMFILE, EX_OSERR, count=count)
        yield Fault("thread", errno.EAGAIN, EX_OSERR, count=count)
        # The C library allocates, too: to look up an address, to list a directory.
        yield Fault("malloc", errno.ENOMEM, EX_OSERR, EX_UNAVAILABLE, EX_IOERR, count=count)
    for kind in ("pwrite", "pread", "fallocate", "ftruncate", "create", "open", "flock", "fstatvfs", "accept", "recv",
                 "send", "epoll_wait"):
        yield Fault(kind, errno.EINTR, count=BURST)
    for error in (errno.EMFILE, errno.ECONNABORTED):
        yield Fault("accept", error, count=BURST)
    yield Fault("epoll_ctl", errno.ENOMEM, *refused)


class Failed(Exception):
    """What the server did wrong."""


class Run:
    """One scenario with one fault at one call. `injected` says whether it struck; `code` how the server ended, None
    if it went on."""

    def __init__(self, scenario, fault, nth):
        self.scenario, self.fault, self.nth = scenario, fault, nth
        self.injected, self.code, self.end_seconds = 0, None, 0.0

    def go(self):
        with tempfile.TemporaryDirectory(prefix="sluice-nth-") as folder, Faults() as control:
            life = self.scenario.template.copy_to(folder, control.environment)
            try:
                self.strike(life, control)
                life.server.environment = {}
                self.look(life)
            except AssertionError as error:
                raise Failed(str(error)) from error
            finally:
                if life.server.process:
                    life.server.process.kill()
                    life.server.process.wait()
                    life.server._ended()

    def arm(self, life, control):
        fault = self.fault
        control.arm(fault.kind, self.nth, fault.action, fault.error, path=str(life.folder), count=fault.count)

    # -- With the fault. -------------------------------------------------------------------------------

    def strike(self, life, control):
        server = life.server
        if self.scenario.armed == "start":
            self.arm(life, control)
        server.spawn().listening.wait(END_SECONDS_MAX)
        if server.port is not None:
            self.act(life, control)
        if self.scenario.armed != "stop":
            control.disarm()
        if self.scenario.armed != "stop" and server.port is not None and self.is_alive(life):
            server.kill()
        else:
            self.code = self.wait_exit(life)
        self.injected = control.injected
        life.ledger.server_ended()
        self.judge_end(life)

    def act(self, life, control):
        """The scenario; it may end in the middle, but not wait for ever."""
        try:
            with life.client() as client:
                if self.scenario.armed == "serving":
                    client("PING")  # so that nothing is left of the connection's own beginning
                    self.arm(life, control)
                self.scenario.act(life, client)
                if self.scenario.armed == "stop":
                    self.arm(life, control)
                    life.server.process.send_signal(signal.SIGTERM)
        except TimeoutError as error:
            raise Failed(f"no reply: {error}\n{life.server.output()}") from error
        except (*GONE, RespError):
            pass

    def is_alive(self, life):
        """Whether it went on; then it has to work."""
        try:
            with life.client() as client:
                life.push(client)
                life.answer(client, "ACK", life.pull(client, 3))
            return True
        except TimeoutError as error:
            raise Failed(f"it went on and does not answer\n{life.server.output()}") from error
        except GONE:
            return False

    def wait_exit(self, life):
        began = time.monotonic()
        try:
            code = life.server.wait_exit(END_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"it does not end\n{life.server.output()}") from error
        self.end_seconds = time.monotonic() - began
        return code

    def judge_end(self, life):
        if self.code is None or (self.code == 0 and self.scenario.armed == "stop"):
            return
        output = life.server.output()
        if not self.injected:
            raise Failed(f"it ended with {self.code} though nothing failed\n{output}")
        if self.fault.kind == "malloc" and self.code == -signal.SIGABRT and "event=" not in output:
            return  # Before main() the libraries' own constructors end like that.
        if self.code not in self.fault.ends:
            raise Failed(f"it ended with {self.code}, allowed: {self.fault.ends or 'none'}\n{output}")
        if not re.search(rf"event=(disk_failure|failed) exit_code={self.code} text=\"..+\"|sluice: the system refuses", output):
            raise Failed(f"it ended with {self.code} and did not say why\n{output}")

    # -- Without it. -----------------------------------------------------------------------------------

    def look(self, life):
        """Everything that was acknowledged is there, exactly once."""
        life.ledger.server_starts()
        life.server.start()
        with life.client() as client:
            while deliveries := life.pull(client, 1000):
                life.answer(client, "ACK", [delivery for delivery in deliveries if delivery])
            uids = {job_id: job.uid for job in life.ledger.jobs.values() for job_id in job.ids}
            for state in ("leased", "scheduled", "retry", "ready"):
                for job in map(dict_of, client.fields("JOBS", QUEUE, "STATE", state, "COUNT", "1000")["jobs"]):
                    if int(job["id"]) in uids:
                        life.ledger.remains(uids[int(job["id"])], state)
        if (code := life.server.terminate()) != 0:
            raise Failed(f"the server after it ended with {code}\n{life.server.output()}")
        self.check(life.folder / "data")
        if isinstance(getattr(life, "backup", None), (list, dict)):
            self.check(life.folder / "backup")
        if violations := life.ledger.judge():
            raise Failed("\n".join(f"{verdict}: {what}" for verdict, what in violations))

    @staticmethod
    def check(directory):
        done = subprocess.run([BINARY, "check", directory], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise Failed(f"sluice check {directory.name} finds fault:\n{done.stdout}{done.stderr}")


def dict_of(job):
    return job if isinstance(job, dict) else {job[i].decode(): job[i + 1] for i in range(0, len(job), 2)}


class Loops:
    def __init__(self, options):
        self.options, self.lock = options, threading.Lock()
        self.counts, self.failures, self.end_seconds_max = collections.Counter(), [], 0.0
        self.struck = set()  # kinds of calls of which at least one was hit

    def numbers(self, fault):
        """Which calls of a loop are tried."""
        if self.options.nth:
            yield from range(self.options.nth, self.options.nth + 1)
            return
        number = 1
        while True:
            yield number
            number += 1 if self.options.full or fault.is_dense else 1 + number // 5

    def loop(self, scenario, fault):
        for nth in self.numbers(fault):
            run = Run(scenario, fault, nth)
            try:
                run.go()
                if nth > CALLS_MAX:
                    raise Failed(f"no clean pass in {CALLS_MAX} calls")
            except Failed as failure:
                return self.fail(run, str(failure))
            except Exception:
                return self.fail(run, f"the test itself\n{traceback.format_exc()}")
            with self.lock:
                self.counts["runs"] += 1
                self.counts["calls that failed"] += run.injected
                self.end_seconds_max = max(self.end_seconds_max, run.end_seconds)
                if run.injected:
                    self.struck.add(fault.kind)
                    self.counts["went on" if run.code in (None, 0) else f"ended with {run.code}"] += 1
            if not run.injected:
                break
        with self.lock:
            self.counts["loops"] += 1

    def fail(self, run, what):
        with self.lock:
            self.failures.append(what)
            print(f"FAILED {run.scenario.name}, {run.fault.name}, call {run.nth}: {what}\n  again with: "
                  f"{sys.argv[0]} --scenario '{run.scenario.name}' --fault '{run.fault.name}' --nth {run.nth}",
                  flush=True)

    def survey(self, scenario):
        """The kinds of calls that a scenario makes: other faults cannot strike it."""
        with tempfile.TemporaryDirectory(prefix="sluice-nth-") as folder, Faults() as control:
            life = scenario.template.copy_to(folder, control.environment)
            run = Run(scenario, None, 0)
            run.arm = lambda life, control: control.survey(path=str(life.folder))
            run.strike(life, control)
            return control.counts()

    def run(self):
        began = time.monotonic()
        wanted = [s for s in SCENARIOS if self.options.scenario in (None, s.name)]
        with tempfile.TemporaryDirectory(prefix="sluice-nth-") as folder, \
                concurrent.futures.ThreadPoolExecutor(self.options.workers) as pool:
            for scenario in wanted:
                scenario.make_template(folder)
            found = list(pool.map(self.survey, wanted))
            pairs = [(scenario, fault) for scenario, calls in zip(wanted, found) for fault in faults()
                     if fault.kind in calls and self.options.fault in (None, fault.name)]
            pairs.sort(key=lambda pair: -found[wanted.index(pair[0])][pair[1].kind])  # the longest loops first
            list(pool.map(lambda pair: self.loop(*pair), pairs))
        return self.report(time.monotonic() - began)

    def report(self, seconds):
        print(f"nth_call: {seconds:.0f} s, the slowest end took {self.end_seconds_max * 1000:.0f} ms")
        for name, count in sorted(self.counts.items()):
            print(f"  {name:<40} {count:>9,}")
        is_whole = not (self.options.scenario or self.options.fault or self.options.nth)
        missed = {fault.kind for fault in faults()} - self.struck
        if missed and is_whole or not self.struck and not self.failures:
            print(f"FAILED calls of these kinds were never hit: {', '.join(sorted(missed))}")
            self.failures.append("missed")
        print("ledger:", json.dumps({"tool": "nth_call", "counts": self.counts, "failures": len(self.failures)}))
        return 1 if self.failures else 0


def main():
    parser = argparse.ArgumentParser(description="let every system call of the server fail, one by one")
    parser.add_argument("--full", action="store_true", help="every N of every kind")
    parser.add_argument("--scenario")
    parser.add_argument("--fault", help="e.g. 'pwrite EIO', 'fsync EIO always'")
    parser.add_argument("--nth", type=int, help="this call only")
    parser.add_argument("--workers", type=int, default=3 * (os.cpu_count() or 1))
    sys.exit(Loops(parser.parse_args()).run())


if __name__ == "__main__":
    main()
