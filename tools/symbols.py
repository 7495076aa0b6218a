#!/usr/bin/env python3
"""Asks the linker's view of the deterministic layers: their archives may call nothing of the operating
system. Usage: tools/symbols.py BUILD_DIR. The same rule as tools/tidy.py's purity, on what really links."""
import pathlib
import re
import subprocess
import sys

LAYERS = ("base", "model", "wire", "core")
# Memory comes from the operating system, too: base/pages.cc maps some, and no files.
MEMORY = {("base", "mmap")}
# check() may print and abort (fprintf, stderr, abort): nothing else of the outside world.
FORBIDDEN = re.compile(
    r"(f?open(at)?(64)?|creat|close|p?read(v|64)?|p?write(v|64)?|f(data)?sync|unlink(at)?|rename(at)?|mmap|"
    r"time|clock|clock_gettime|gettimeofday|nanosleep|u?sleep|s?rand(om)?(_r)?|getrandom|getentropy|getenv|"
    r"socket|bind|listen|accept4?|connect|send(to|msg)?|recv(from|msg)?|poll|select|epoll_\w+|"
    r"pthread_(create|mutex_\w+|cond_\w+)|fork|exec\w+|system|"
    r"std::chrono::_V2::\w+::now\(\)|std::(random_device|thread|this_thread|filesystem|basic_\w*fstream)\b.*)"
    r"(@.*)?")


def main():
    build, errors, seen = pathlib.Path(sys.argv[1]), [], 0
    for layer in LAYERS:
        archive = build / f"libsluice_{layer}.a"
        if not archive.exists():
            continue  # a layer of headers only
        seen += 1
        listing = subprocess.run(["nm", "-uC", archive], capture_output=True, text=True, check=True).stdout
        for line in listing.splitlines():
            found = re.match(r"\s+[Uw] (.*)", line)
            if found and FORBIDDEN.fullmatch(found[1]) and (layer, found[1]) not in MEMORY:
                errors.append(f"{archive}: error: calls {found[1]}: '{layer}' is deterministic, hand it in")
    if not seen:
        errors.append(f"{build}: error: none of the libraries {', '.join(LAYERS)} is there")
    print("\n".join(errors) or f"symbols: {seen} libraries call nothing of the operating system")
    sys.exit(bool(errors))


main()
