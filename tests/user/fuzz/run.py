#!/usr/bin/env python3
"""System calls at random (calls.c) on each ABI: the program may end as it likes, the emulator must not fail.

run.py DOPPEL [ABI...] [--seeds N] [--steps N] [--first SEED]
"""
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
import user_mode  # noqa: E402

WORK = user_mode.ROOT / "build" / "user-fuzz"
# What only a failing emulator says.
FAILED = ("internal error", "ASSERT", "AddressSanitizer", "runtime error", "terminate called")


def option(words, name, default):
    if name not in words:
        return default
    at = words.index(name)
    value = int(words[at + 1])
    del words[at:at + 2]
    return value


def main():
    words = sys.argv[1:]
    seeds, steps, first = option(words, "--seeds", 5), option(words, "--steps", 2000), option(words, "--first", 1)
    emulator, *abis = words
    if why := user_mode.missing(emulator):
        print(f"ok    user-fuzz: skipped: {why}\n0 passed, 0 failed")
        return 0
    os.nice(10)
    passed = failed = 0
    for name, abi in user_mode.ABIS.items():
        if abis and name not in abis:
            continue
        program = WORK / name / "calls"
        program.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([abi.cc, "-O1", "-w", "-static", str(HERE / "calls.c"), "-o", str(program)], check=True)
        ends = {}
        bad = []
        for seed in range(first, first + seeds):
            command = [*user_mode.emulator(emulator, name), str(program), str(seed), str(steps)]
            try:
                done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
                said, end = done.stderr.decode(errors="replace"), done.returncode
            except subprocess.TimeoutExpired as late:
                said, end = (late.stderr or b"").decode(errors="replace"), "hangs"
            ends[end] = ends.get(end, 0) + 1
            if any(word in said for word in FAILED):
                bad.append(f"seed {seed}: {said.strip()[-300:]}")
        passed, failed = passed + (not bad), failed + bool(bad)
        print(f"{'FAIL ' if bad else 'ok   '} user-fuzz/{name}: ends {ends}{': ' if bad else ''}{'; '.join(bad[:3])}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
