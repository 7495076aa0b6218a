"""What the disk tests share: file systems of their own on loop devices, over disks that record or fail.

    with Workshop("nbdkit", "nbdfuse") as shop:
        with shop.mounted(shop.image("disk", 20 << 20), "ext4") as folder:
            ...

Everything is undone however the test ends. It runs in a mount namespace of its own, which takes its mounts
with it; loop devices free themselves with their last user; programs die with the test. What the machine
cannot do ends the test with exit code 77 and one line that says why.
"""
import contextlib
import ctypes
import fcntl
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

SKIPPED = 77
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH, PR_SET_PDEATHSIG = 0x20000, 0x4000, 1 << 18, 2, 1
LOOP_GET_FREE, LOOP_CONFIGURE, LOOP_AUTOCLEAR, BLKFLSBUF = 0x4C82, 0x4C0A, 4, 0x1261
# mkfs.xfs refuses small file systems unless it is told that it runs in xfs's own test suite.
SMALL_XFS = {"TEST_DIR": "1", "TEST_DEV": "1", "QA_CHECK_FS": "1"}
MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-J", "size=4", "-E",
             "lazy_itable_init=0,lazy_journal_init=0,nodiscard"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-K", "-l", "size=6m"],
}
# Two workers mount the same xfs at once.
OPTIONS = {"ext4": "", "xfs": "nouuid"}
PACKAGES = {"nbdkit": "nbdkit", "nbdfuse": "libnbd-bin", "qemu-storage-daemon": "qemu-system-common",
            "mkfs.xfs": "xfsprogs", "mkfs.ext4": "e2fsprogs"}


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def call(name, *arguments):
    """One of libc's functions that return 0 or set errno."""
    arguments = [argument.encode() if isinstance(argument, str) else argument for argument in arguments]
    if getattr(LIBC, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Loop:
    """A loop device on a file. It goes with its last user: this object, or a mount."""

    def __init__(self, file, size):
        self.path, self.fd = None, -1
        backing = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        try:
            while self.path is None:
                self._configure(backing, size)
        finally:
            os.close(backing)

    def _configure(self, backing, size):
        with open("/dev/loop-control") as control:
            path = f"/dev/loop{fcntl.ioctl(control, LOOP_GET_FREE)}"
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        # struct loop_config: fd, block size, struct loop_info64 (…, offset, size limit, …, flags, …), reserved
        info = struct.pack("<5Q4I160s16x", 0, 0, 0, 0, size, 0, 0, 0, LOOP_AUTOCLEAR, b"")
        try:
            fcntl.ioctl(fd, LOOP_CONFIGURE, struct.pack("<2I", backing, 0) + info + bytes(64))
            self.path, self.fd = path, fd
        except OSError as error:
            os.close(fd)
            if error.errno != 16:  # EBUSY: somebody else was quicker, so try the next one
                raise

    def forget_cache(self):
        """What is read next comes from the file."""
        fcntl.ioctl(self.fd, BLKFLSBUF)

    def close(self):
        os.close(self.fd)


def mount(device, folder, filesystem):
    call("mount", device, str(folder), filesystem, 0, OPTIONS[filesystem])


def unmount(folder):
    call("umount2", str(folder), 0)


def make_filesystem(device, filesystem, size=None):
    command = MAKE[filesystem] + [str(device)]
    if size and filesystem == "ext4":
        command.append(f"{size >> 10}k")
    elif size:
        command[-1:-1] = ["-d", f"size={size}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   env={**os.environ, **SMALL_XFS, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})


class Workshop:
    """A mount namespace, a folder in memory, and the programs that run for the test."""

    def __init__(self, *programs, filesystem="ext4"):
        self.needs = [*programs, f"mkfs.{filesystem}"]
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        self._check_machine()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            call("unshare", CLONE_NEWNS)
            call("mount", "none", "/", None, MS_REC | MS_PRIVATE, None)
        except OSError as error:
            skip(f"no mount namespace of its own: {error}")
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-disk-", dir=base))
        self.stack.callback(self._remove_folder)
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _remove_folder(self):
        """First what a worker that was killed has left mounted in it."""
        for line in reversed(open("/proc/self/mountinfo").readlines()):
            place = line.split()[4]
            if place.startswith(str(self.folder) + "/"):
                LIBC.umount2(place.encode(), MNT_DETACH)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check_machine(self):
        if os.geteuid() != 0:
            skip("file systems of its own need root")
        for device in ("/dev/loop-control", "/dev/fuse"):
            if not os.path.exists(device):
                skip(f"this machine has no {device}")
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        for program in self.needs:
            if not shutil.which(program, path=path):
                skip(f"{program} is not installed (Debian package {PACKAGES[program]})")

    def run(self, command, ready):
        """A program that serves until the test ends; `ready` says when it does."""
        log = open(self.folder / "program.log", "ab")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   preexec_fn=die_with_parent)
        log.close()
        self.stack.callback(process.wait)
        self.stack.callback(process.terminate)
        from harness import eventually
        if not eventually(lambda: ready() or process.poll() is not None, 30) or process.poll() is not None:
            skip(f"{command[0]} does not run here: {(self.folder / 'program.log').read_text()[-300:].strip()}")
        return process

    def image(self, name, size):
        file = self.folder / name
        with open(file, "wb") as made:
            made.truncate(size)
        return file

    @contextlib.contextmanager
    def mounted(self, file, filesystem="ext4", size=None, make=True):
        """A folder with the file system on this file, made if wanted."""
        size = size or os.stat(file).st_size
        if make:
            make_filesystem(file, filesystem, size)
        try:
            loop = Loop(file, size)
        except OSError as error:
            skip(f"no loop device: {error}")
        folder = self.folder / f"mount-{pathlib.Path(file).name}"
        folder.mkdir(exist_ok=True)
        try:
            mount(loop.path, folder, filesystem)
            try:
                yield folder
            finally:
                LIBC.umount2(str(folder).encode(), MNT_DETACH)  # the disk may fail to take what is left
        finally:
            loop.close()
