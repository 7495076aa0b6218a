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
IS_ARMED, SEEN, PLAN, COUNT = (struct.Struct(layout) for layout in ("<Q", "<2Q", "<4Q16s256s", "<16sQ"))
KINDS_MAX = 48
PLAN_AT = IS_ARMED.size + SEEN.size
COUNTS_AT = PLAN_AT + PLAN.size
SIZE = COUNTS_AT + KINDS_MAX * COUNT.size + 8
ALWAYS = 2**63
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

    def arm(self, kind, nth, action="fail", error=errno.EIO, path="", count=1):
        """Does `action` to `count` calls of this kind, from the nth on, counted from now. Of the calls on files those
        count whose path contains `path`."""
        self.disarm()
        SEEN.pack_into(self.memory, IS_ARMED.size, 0, 0)
        PLAN.pack_into(self.memory, PLAN_AT, nth, count, error, ord(ACTIONS[action]), kind.encode(), path.encode())
        IS_ARMED.pack_into(self.memory, 0, 1)

    def survey(self, path=""):
        """Counts the calls of every kind from now on and lets them go through."""
        self.memory[COUNTS_AT:] = bytes(SIZE - COUNTS_AT)
        self.arm("", 0, path=path)

    def counts(self):
        """What a survey has found: calls by kind."""
        found = (COUNT.unpack_from(self.memory, COUNTS_AT + number * COUNT.size) for number in range(KINDS_MAX))
        return {kind.rstrip(b"\0").decode(): calls for kind, calls in found if calls}

    def disarm(self):
        """Calls go through again. What was counted stays."""
        IS_ARMED.pack_into(self.memory, 0, 0)

    @property
    def seen(self):
        return SEEN.unpack_from(self.memory, IS_ARMED.size)[0]

    @property
    def injected(self):
        return SEEN.unpack_from(self.memory, IS_ARMED.size)[1]
