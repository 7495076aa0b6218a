#!/usr/bin/env python3
"""ioredis and node-redis drive the server (node/clients.mjs), from packages pinned by a lock file."""
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import Server  # noqa: E402

NODE = pathlib.Path(__file__).resolve().parent / "node"


def main():
    if not shutil.which("node") or not shutil.which("npm"):
        sys.exit(77)
    # Beside the build, not in the source tree; the lock file decides what is installed.
    work = pathlib.Path(os.environ.get("SLUICE_BUILD", "build/release")).resolve() / "node_clients"
    work.mkdir(parents=True, exist_ok=True)
    lock = (NODE / "package-lock.json").read_bytes()
    for name in ("package.json", "package-lock.json", "clients.mjs"):
        shutil.copy(NODE / name, work / name)
    stamp = work / "installed-lock.json"
    if not stamp.exists() or stamp.read_bytes() != lock:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=work, check=True,
                       stdin=subprocess.DEVNULL, timeout=300)
        stamp.write_bytes(lock)
    with Server() as server:
        done = subprocess.run(["node", "clients.mjs", str(server.port)], cwd=work, timeout=120,
                              stdin=subprocess.DEVNULL)
    sys.exit(done.returncode)


main()
