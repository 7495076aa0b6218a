"""A disk in memory that fails on command: a plugin for `nbdkit python`, which has a Python of its own.

    nbdkit python failing_disk.py disk-bytes=67108864 faults=DIRECTORY

While the directory has a file of this name: fail-read, fail-write, fail-flush: those requests get EIO (a
failing flush has not flushed, and a failing write has not written); hold: reads, writes and flushes wait.
"""
import errno
import os
import time

import nbdkit

API_VERSION = 2
POLL_SECONDS = 0.002  # how often a request that is held looks whether it may go on
settings = {}
disk = bytearray()


def config(key, value):
    settings[key] = value


def config_complete():
    disk.extend(bytes(int(settings["disk-bytes"])))


def open(readonly):
    return 1


def get_size(handle):
    return len(disk)


def can_flush(handle):
    return True


def meet_faults(kind):
    while os.path.exists(settings["faults"] + "/hold"):
        time.sleep(POLL_SECONDS)
    if os.path.exists(f"{settings['faults']}/fail-{kind}"):
        nbdkit.set_error(errno.EIO)
        raise OSError(errno.EIO, f"this {kind} fails, as asked")


def pread(handle, buffer, offset, flags):
    meet_faults("read")
    buffer[:] = disk[offset:offset + len(buffer)]


def pwrite(handle, buffer, offset, flags):
    meet_faults("write")
    disk[offset:offset + len(buffer)] = buffer


def zero(handle, count, offset, flags):
    meet_faults("write")
    disk[offset:offset + count] = bytes(count)


def flush(handle, flags):
    meet_faults("flush")
