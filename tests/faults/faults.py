"""Faults: one system call of a server that fails, comes back short, or kills it. shim.cc does it, in the server.

    with Faults() as faults:
        server = Server(environment=faults.environment)
        faults.arm("fdatasync", nth=3, error=errno.EIO, path="/data/")
        ...
        faults.injected    # how often it struck; also after the process is gone
"""
import errno
import mmap
import os
import pathlib
import struct
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import BINARY  # noqa: E402

LIBRARY = BINARY.parent / "libfaults.so"
# struct Control of shim.cc: is_armed, seen, injected, then the plan.
IS_ARMED, COUNTS, PLAN = struct.Struct("<Q"), struct.Struct("<2Q"), struct.Struct("<4Q16s256s")
SIZE = IS_ARMED.size + COUNTS.size + PLAN.size
ACTIONS = {"fail": "f", "shorten": "s", "kill before": "b", "kill middle": "m", "kill after": "a"}


class Faults:
    """The plan of one process at a time, changed at any moment of its life."""

    def __init__(self):
        handle, self.path = tempfile.mkstemp(prefix="sluice-faults-")
        os.truncate(handle, SIZE)
        self.memory = mmap.mmap(handle, SIZE)
        os.close(handle)
        self.environment = {"LD_PRELOAD": str(LIBRARY), "FAULT_CONTROL": self.path}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.memory.close()
        os.unlink(self.path)

    def arm(self, kind, nth, action="fail", error=errno.EIO, path="", persistent=False):
        """Counts calls of this kind from now on, on files only those whose path contains `path`, and does `action`
        to the nth (0: to none), with `persistent` to the later ones, too."""
        self.disarm()
        COUNTS.pack_into(self.memory, IS_ARMED.size, 0, 0)
        PLAN.pack_into(self.memory, IS_ARMED.size + COUNTS.size, nth, persistent, error, ord(ACTIONS[action]),
                       kind.encode(), path.encode())
        IS_ARMED.pack_into(self.memory, 0, 1)

    def disarm(self):
        """Calls go through again. What was counted stays."""
        IS_ARMED.pack_into(self.memory, 0, 0)

    @property
    def seen(self):
        return COUNTS.unpack_from(self.memory, IS_ARMED.size)[0]

    @property
    def injected(self):
        return COUNTS.unpack_from(self.memory, IS_ARMED.size)[1]
