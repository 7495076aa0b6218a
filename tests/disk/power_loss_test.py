#!/usr/bin/env python3
"""The power fails at any moment, and whatever the disk kept of its last writes, nothing acknowledged is lost.

    power_loss_test.py [--states 2000] [--seconds N] [--seed N] [--fs ext4|xfs] [--expect-loss]

A real server works on a real file system whose disk records every write and flush (recording.py), while
clients push, pull, ack, fail and release, its segments are tiny, and it is killed and started again. Then the
recording is cut at random places. Each cut gives a state of the disk: all that was flushed, and of the writes
since then each one applied, torn by sectors or dropped. It is mounted, which runs the file system's own
recovery, and `sluice check --jobs` says what a server would restore from it. Of one state in a hundred a
server is started, takes a push, and is killed.

The judgement, with everything that had been answered by then: an acknowledged push is there, intact, unless
an ack of it was sent; an acknowledged ack is final; nothing is there that nobody pushed; the server starts.
With --expect-loss the server runs with --sync never and must be caught losing what it acknowledged. On a slow
machine --seconds ends it before all states were seen, and says so.
"""
import argparse
import collections
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import disks  # noqa: E402
from harness import BINARY, Closed, Server, as_dict  # noqa: E402
from recording import SECTOR, RecordedDisk, Recording  # noqa: E402

IMAGE_BYTES = {"ext4": 16 << 20, "xfs": 32 << 20}
STATES_PER_RECORDING = 2500
LIVES = ("4KiB", "64KiB", "16KiB", "4KiB")  # the server's lives in one recording, by segment size
LIFE_SECONDS = 0.8
LIVE_JOBS_MAX = 250
SERVED_OF = 100
FINDINGS_MAX = 10
WORKERS = {"ext4": 2, "xfs": 6}  # xfs waits most of the time when it mounts
FINAL = {"succeeded", "cancelled", "expired", "dead"}
GONE = (Closed, OSError, ValueError)  # ValueError: the kill closed the file under the reader


def ext4_superblock(_place, _data):
    """1 KiB with one checksum, written in place; ext4 does not mount when that is wrong, nor does e2fsck mend it
    unasked."""
    return {1024 + SECTOR}


def xfs_directories(place, data):
    """A directory that fits into one block has one checksum there; xfs does not mount when that is wrong
    (EFSBADCRC)."""
    block = 4096
    begins = [at for at in range(-place % block, len(data), block) if data.startswith(b"XDB3", at)]
    return {place + begin + sector for begin in begins for sector in range(SECTOR, block, SECTOR)}


# Sectors of a write that share the fate of the one in front: a disk that tears them apart loses everything on it,
# whoever wrote there.
UNTORN = {"ext4": ext4_superblock, "xfs": xfs_directories}


def options(segment, sync="always"):
    return ["--segment-bytes", segment, "--disk-free-bytes-min", "256KiB", "--sync", sync, "--log-level", "warn"]


def payload(uid, filler):
    body = b"%d:" % uid + filler
    return b"%08x:" % zlib.crc32(body) + body


def uid_of(text):
    """The uid in an intact payload; none in one that was changed."""
    checksum, _, body = text.partition(":")
    if len(checksum) != 8 or int(checksum, 16) != zlib.crc32(body.encode()):
        return None
    return int(body.partition(":")[0])


class History:
    """What was said, numbered. Each number is promised to the disk's log before anything follows from it."""

    def __init__(self, promise):
        self.lock, self.promise, self.count = threading.Lock(), promise, 0
        self.pushed, self.ack_sent, self.acked = {}, {}, {}  # uid: number

    def note(self, kind, uids):
        if not uids:
            return
        with self.lock:
            self.count += 1
            kind.update(dict.fromkeys(uids, self.count))
            self.promise(self.count)

    def judge(self, promised, jobs):
        """What is wrong with these jobs (uid: state) given everything up to `promised`. Also says how many
        acknowledged pushes and acks were looked at."""
        wrong, checked = [], 0
        for uid, number in self.pushed.items():
            if number > promised:
                continue
            checked += 1
            state = jobs.get(uid)
            if self.acked.get(uid, promised + 1) <= promised:
                if state is not None and state not in FINAL:
                    wrong.append(f"undead: job {uid} was acked and is {state}")
            elif self.ack_sent.get(uid, promised + 1) > promised and (state is None or state in FINAL):
                wrong.append(f"lost: job {uid} was pushed, not acked, and is {state or 'not there'}")
        return wrong, checked


class Load:
    """The clients of the server's lives in one recording."""

    def __init__(self, history, seed):
        self.history, self.random = history, random.Random(seed)
        self.lock, self.next_uid, self.live = threading.Lock(), 1, 0

    def run(self, server):
        """Until the server is gone."""
        clients = [(role, server.client()) for role in (self.produce, self.produce, self.work, self.work)]
        threads = [threading.Thread(target=self.guarded, args=(*each, random.Random(self.random.random())))
                   for each in clients]
        for thread in threads:
            thread.start()
        return threads

    def guarded(self, role, client, rng):
        try:
            while True:
                role(client, rng)
        except GONE:
            client.close()

    def produce(self, client, rng):
        if self.live > LIVE_JOBS_MAX:
            client("PULL", "nothing-ever", "WAIT", "5ms")
            return
        count = rng.choice((1, 1, 2, 8))
        with self.lock:
            uids, self.next_uid = range(self.next_uid, self.next_uid + count), self.next_uid + count
            self.live += count
        sizes = (0, 30, 100, 100, 500, 3000)
        client.send(*[("PUSH", rng.choice(("mail", "mail", "slow")), "step", payload(uid, b"x" * rng.choice(sizes)),
                       "ATTEMPTS", 60000, *rng.choice(((), (), ("DELAY", 20), ("UNIQUE", f"u{uid}"))))
                      for uid in uids])
        replies = [client.receive() for _ in uids]
        self.history.note(self.history.pushed, [uid for uid, reply in zip(uids, replies) if isinstance(reply, bytes)])

    def work(self, client, rng):
        queues = ("mail", "slow") if self.live > LIVE_JOBS_MAX or rng.random() < 0.1 else ("mail",)
        jobs = client("PULL", *queues, "COUNT", rng.choice((1, 4, 16)), "WAIT", "10ms", "LEASE", "5s")
        acks, others = {}, []
        for job in map(as_dict, jobs or []):
            names = (job["id"], job["token"])
            if rng.random() < 0.8:
                acks[uid_of(job["payload"].decode())] = ("ACK", *names)
            else:
                others.append(rng.choice((("FAIL", *names, "no luck", "RETRY", 5), ("RELEASE", *names),
                                          ("EXTEND", *names, "30ms"))))
        self.history.note(self.history.ack_sent, acks)
        client.send(*acks.values(), *others)
        done = [uid for uid in acks if client.receive() == "OK"]
        for _ in others:
            client.receive()
        with self.lock:
            self.live -= len(done)
        self.history.note(self.history.acked, done)


def record(shop, filesystem, seed, sync):
    """One recording of some lives of a server, and the history of what it said."""
    disk = RecordedDisk(shop, f"recorded-{seed}", IMAGE_BYTES[filesystem], filesystem)
    history = History(disk.promise)
    load = Load(history, seed)
    rng = random.Random(seed)
    with shop.mounted(disk.file, filesystem, disk.size, make=False) as folder:
        for number, segment in enumerate(LIVES):
            with Server(folder, options(segment, sync)) as server:
                if number == 0:
                    with server.client() as client:
                        for queue in ("mail", "slow"):
                            client("QUEUE", "SET", queue, "keep", "30ms")
                    disk.promise(0)
                threads = load.run(server)
                # How long it lives, not a synchronisation.
                threading.Event().wait(LIFE_SECONDS * rng.uniform(0.7, 1.3))
                server.terminate() if number == 1 else server.kill()
                for thread in threads:
                    thread.join()
    disk.stop()
    return Recording(disk), history


class Judge:
    """Looks at states: one process, with one loop device that is mounted again and again."""

    def __init__(self, shop, filesystem, number, keeps_image=True):
        self.filesystem, self.keeps_image, self.folder = filesystem, keeps_image, shop.folder / f"state-{number}"
        self.folder.mkdir()
        self.file = shop.image(f"state-{number}.image", IMAGE_BYTES[filesystem])
        self.loop = disks.Loop(self.file, IMAGE_BYTES[filesystem])
        self.image = os.open(self.file, os.O_RDWR | os.O_CLOEXEC)
        self.counts, self.findings = collections.Counter(), []

    def look(self, state, history, is_served):
        cut, image, promised, torn = state
        os.pwrite(self.image, image, 0)
        wrong = []
        try:
            disks.mount(self.loop.path, self.folder, self.filesystem)
            try:
                wrong = self.jobs_are_there(history, promised)
                if is_served and not wrong:
                    wrong = self.serves(history, promised)
            finally:
                disks.unmount(self.folder)
        except (OSError, AssertionError) as error:
            wrong = [str(error)]
        self.loop.forget_cache()  # what the mount changed must not reach the next image
        self.counts.update(states=1, torn_sectors=torn)
        if wrong:
            self.findings.append((cut, wrong))
            if len(self.findings) == 1 and self.keeps_image:
                wrong.append(f"the image of the disk is kept: {keep(image)}")

    def jobs_are_there(self, history, promised, also=()):
        done = subprocess.run([BINARY, "check", self.folder / "data", "--jobs"], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60)
        if done.returncode != 0:
            return [f"sluice check ends with {done.returncode}: {done.stderr}"]
        jobs, wrong = {}, []
        for line in done.stdout.splitlines():
            job = json.loads(line)
            uid = uid_of(job["payload"])
            if uid is None or uid in jobs:
                wrong.append(f"{'twice' if uid else 'changed'}: {line[:300]}")
            jobs[uid] = job["state"]
        wrong += [f"lost: job {uid}, pushed after the power came back" for uid in also if uid not in jobs]
        found, checked = history.judge(promised, jobs)
        self.counts["acknowledged_checked"] += checked
        return wrong + found

    def serves(self, history, promised):
        uid = 10**12
        with Server(self.folder, options("16KiB")) as server:
            server.client()("PUSH", "after", "step", payload(uid, b""))
        self.counts["states_served"] += 1
        return self.jobs_are_there(history, promised, also=[uid])


def keep(image):
    file = pathlib.Path(tempfile.mkdtemp(prefix="sluice-power-loss-")) / "disk.image"
    file.write_bytes(image)
    return file


def work_through(shop, arguments, recording, history, cuts, number, seed, results):
    """A worker's process."""
    disks.die_with_parent()
    try:
        judge = Judge(shop, arguments.fs, f"{seed}-{number}", keeps_image=not arguments.expect_loss)
        states = recording.states(cuts, seed, UNTORN[arguments.fs])
        for count, state in enumerate(states):
            judge.look(state, history, is_served=count % SERVED_OF == number and not arguments.expect_loss)
            if len(judge.findings) >= FINDINGS_MAX or time.monotonic() > arguments.deadline:
                break
        results.put((judge.counts, judge.findings))
    except BaseException as error:
        results.put((collections.Counter(), [(0, [f"the worker failed: {error!r}"])]))


def one_recording(shop, arguments, seed, states):
    """Returns the counts and the findings of so many states of one recording."""
    recording, history = record(shop, arguments.fs, seed, "never" if arguments.expect_loss else "always")
    rng = random.Random(seed)
    first = recording.first_promise()
    cuts = [rng.randint(first + 1, len(recording.entries)) for _ in range(states)]
    results, count = multiprocessing.Queue(), WORKERS[arguments.fs]
    workers = [multiprocessing.Process(target=work_through, args=(shop, arguments, recording, history,
                                                                  cuts[number::count], number, seed, results))
               for number in range(count)]
    counts, findings = collections.Counter(), []
    try:
        for worker in workers:
            worker.start()
        for _ in workers:
            some, found = results.get()
            counts, findings = counts + some, findings + found
    finally:
        for worker in multiprocessing.active_children():
            worker.terminate()  # it may have a server to end
            worker.join()
    counts.update(recorded_writes=len(recording.entries) - first, acknowledged=len(history.pushed) + len(history.acked))
    for file in shop.folder.glob(f"*-{seed}*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    return counts, findings


def report(arguments, counts, findings, seconds):
    states = counts["states"]
    print(f"power loss: {states} states of {arguments.fs} in {seconds:.0f} s ({states / seconds:.0f}/s), "
          f"seed {arguments.seed}")
    if states < arguments.states and not findings:
        print(f"  FEWER than the {arguments.states} wanted: this machine is slow, and it had {arguments.seconds} s")
    for name, count in sorted(counts.items()):
        print(f"  {name:<30} {count:>12,}")
    if arguments.expect_loss:
        print(f"  with --sync never, of {states} states {len(findings)} lost something acknowledged: "
              f"{'as it must be' if findings else 'NOT ONE: this test cannot see a loss'}")
        print("ledger:", json.dumps({"tool": "power-loss-is-seen", "failures": 0 if findings else 1,
                                     "counts": {"states": states, "states_with_a_loss": len(findings)}}))
        return 0 if findings else 1
    for cut, wrong in findings[:FINDINGS_MAX]:
        print(f"VIOLATION at cut {cut}:", *wrong[:20], sep="\n  ")
    if findings:
        print(f"again, though threads differ, with: --fs {arguments.fs} --states {arguments.states} "
              f"--seed {arguments.seed}")
    ledger = {"states": states, f"states_{arguments.fs}": states, "states_served": counts["states_served"],
              "acknowledged_checked": counts["acknowledged_checked"], "torn_sectors": counts["torn_sectors"]}
    print("ledger:", json.dumps({"tool": "power-loss", "counts": ledger, "failures": len(findings)}))
    return 1 if findings else 0


def main():
    parser = argparse.ArgumentParser(description="power failures at every moment, on a real file system")
    parser.add_argument("--states", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=1e9, help="end it then, with what has been seen")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(31))
    parser.add_argument("--fs", choices=sorted(IMAGE_BYTES), default="ext4")
    parser.add_argument("--expect-loss", action="store_true")
    arguments = parser.parse_args()
    began = time.monotonic()
    arguments.deadline = began + arguments.seconds
    counts, findings = collections.Counter(), []
    with disks.Workshop("qemu-storage-daemon", filesystem=arguments.fs) as shop:
        seed = arguments.seed
        while counts["states"] < arguments.states and time.monotonic() < arguments.deadline and not findings:
            some, found = one_recording(shop, arguments, seed, min(STATES_PER_RECORDING,
                                                                   arguments.states - counts["states"]))
            counts, findings, seed = counts + some, findings + found, seed + 1
    sys.exit(report(arguments, counts, findings, time.monotonic() - began))


if __name__ == "__main__":
    main()
