"""A disk whose every write is recorded, and what the recording says of any moment at which power could fail.

qemu-storage-daemon keeps the log (its blklogwrites driver, the format of Linux's dm-log-writes) and shows
the disk as a file through FUSE; the loop device under the file system is on that file. Behind the file
system lies one more sector, the beacon: who knows something that must be true from now on (a job was
acknowledged) writes its number there. That write takes its place in the same log, so for any cut of the
log it is known what had been promised by then.
"""
import collections
import os
import random
import struct

from disks import make_filesystem

SECTOR = 512
FLUSH, FUA, DISCARD = 1, 2, 4
MAGIC = 0x6a736677736872
LOG_BYTES_MAX = 2 << 30  # sparse


class RecordedDisk:
    def __init__(self, shop, name, size, filesystem):
        self.size, self.log, self.file = size, shop.image(f"{name}.log", LOG_BYTES_MAX), shop.folder / f"{name}.disk"
        backing = shop.image(f"{name}.backing", size + (1 << 20))
        make_filesystem(backing, filesystem, size)
        self.start = backing.read_bytes()  # what the disk holds when recording begins
        self.file.touch()
        self.daemon = shop.run(
            ["qemu-storage-daemon",
             "--blockdev", f"driver=file,node-name=disk,filename={backing},cache.direct=off",
             "--blockdev", "driver=raw,node-name=raw,file=disk",
             "--blockdev", f"driver=file,node-name=log,filename={self.log}",
             "--blockdev", f"driver=blklogwrites,node-name=recorded,file=raw,log=log,log-sector-size={SECTOR}",
             "--export", f"type=fuse,id=export,node-name=recorded,mountpoint={self.file},writable=on"],
            ready=lambda: self.file.stat().st_size > 0)
        self.beacon = os.open(self.file, os.O_WRONLY | os.O_CLOEXEC)

    def promise(self, number):
        """From now on everything up to this number must be true."""
        os.pwrite(self.beacon, struct.pack("<Q", number) + bytes(SECTOR - 8), self.size)

    def stop(self):
        os.close(self.beacon)
        self.daemon.terminate()
        self.daemon.wait()


class Recording:
    """The entries of a finished log."""

    def __init__(self, disk):
        self.size, self.start, self.path = disk.size, disk.start, disk.log
        self.entries = []  # (offset in the disk, offset of the data in the log, bytes, flags)
        with open(self.path, "rb") as log:
            magic, _, count, sector = struct.unpack_from("<QQQI", log.read(SECTOR))
            assert magic == MAGIC and sector == SECTOR, "not a log of writes"
            at = SECTOR
            for _ in range(count):
                log.seek(at)
                where, sectors, flags, _ = struct.unpack("<4Q", log.read(32))
                at += SECTOR
                size = 0 if flags & DISCARD else sectors * SECTOR
                self.entries.append((where * SECTOR, at, size, flags))
                at += size

    def first_promise(self):
        return next(i for i, (where, _, size, _) in enumerate(self.entries) if size and where == self.size)

    def states(self, cuts, seed, untorn):
        """For each cut (how many entries happened; one may come several times) a state in which the disk may
        be found after a power failure at that moment: (cut, image, last promise, sectors torn).
        `untorn(place, data)` says where sectors of a write begin that share the fate of the one in front."""
        stable, pending, promised = bytearray(self.start[:self.size]), [], 0
        wanted = collections.Counter(cuts)
        with open(self.path, "rb") as log:
            for number, (where, at, size, flags) in enumerate(self.entries, 1):
                if flags & FLUSH:
                    for place, data in pending:
                        stable[place:place + len(data)] = data
                    pending = []
                if size:
                    data = os.pread(log.fileno(), size, at)
                    if where >= self.size:
                        promised = struct.unpack_from("<Q", data)[0]
                    elif flags & FUA:
                        stable[where:where + size] = data
                    else:
                        pending.append((where, data))
                for again in range(wanted[number]):
                    image = bytearray(stable)
                    torn = lose_power(image, pending, random.Random(f"{seed} {number} {again}"), untorn)
                    yield number, image, promised, torn


def lose_power(image, pending, rng, untorn):
    """What was written since the last flush was in the disk's volatile cache: each write is applied, dropped,
    or torn, then each of its sectors is applied or not, one that is `untorn` like the one in front. Returns
    how many sectors were in torn writes."""
    torn = 0
    for place, data in pending:
        fate = rng.random()
        if fate < 0.4:
            image[place:place + len(data)] = data
        elif fate < 0.6:
            torn += len(data) // SECTOR
            bound, is_kept = untorn(place, data), False
            for at in range(0, len(data), SECTOR):
                if place + at not in bound:
                    is_kept = rng.random() < 0.5
                if is_kept:
                    image[place + at:place + at + SECTOR] = data[at:at + SECTOR]
    return torn
