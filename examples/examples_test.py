#!/usr/bin/env python3
"""Runs one example against a fresh server (03_embedded: in a fresh directory) and compares what it prints with
the .out file beside it.   examples_test.py PROGRAM OUT"""
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
import harness  # noqa: E402


def run(program, where):
    done = subprocess.run([program, where], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=100)
    if done.returncode != 0:
        sys.exit(f"{program} {where} ended with {done.returncode}")
    return done.stdout


def main(program, expected_file):
    if pathlib.Path(program).name == "03_embedded":
        with tempfile.TemporaryDirectory(prefix="sluice-example-") as folder:
            printed = run(program, f"{folder}/jobs")
    else:
        with harness.Server() as server:
            printed = run(program, f"sluice://127.0.0.1:{server.port}")
    expected = pathlib.Path(expected_file).read_text()
    if printed != expected:
        sys.exit(f"--- expected\n{expected}--- printed\n{printed}")


if __name__ == "__main__":
    main(*sys.argv[1:])
