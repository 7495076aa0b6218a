#!/usr/bin/env python3
"""Runs hiredis_client against the server. Usage: hiredis_test.py PROGRAM."""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import Server  # noqa: E402

with Server() as server:
    code = subprocess.run([sys.argv[1], str(server.port)], timeout=60, stdin=subprocess.DEVNULL).returncode
sys.exit(code)
