#!/usr/bin/env python3
"""Conversions of disk images against qemu-img: bench/disk/convert.py build/release/doppel [-n ROUNDS] [-s MIB] [-d FOLDER]

raw to qcow2, qcow2 to raw and raw to compressed qcow2, the programs by turns (each round the other one begins), outputs to a new
file each time; the median of the times and the ratio qemu-img's / ours. The image has data that compresses well, data that doesn't,
and holes. Both results are compared once by both programs."""
import argparse
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20


def make_source(path, mib):
    """Eighths: three of text-like data, three of random data, two of nothing."""
    r = random.Random(1)
    words = [bytes(r.choices(b"abcdefghijklmnopqrstuvwxyz", k=r.randrange(2, 9))) for _ in range(2000)]
    with open(path, "wb") as f:
        f.truncate(mib * MIB)
        for n in range(mib):
            f.seek(n * MIB)
            if n % 8 < 3:
                f.write(b" ".join(r.choices(words, k=200000))[:MIB])
            elif n % 8 < 6:
                f.write(r.randbytes(MIB))


def timed(command):
    begin = time.perf_counter()
    subprocess.run([str(c) for c in command], check=True)
    return time.perf_counter() - begin


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("-n", "--rounds", type=int, default=5)
    p.add_argument("-s", "--size", type=int, default=1024, help="MiB")
    p.add_argument("-d", "--dir", help="where the images are made")
    o = p.parse_args()
    programs = {"doppel": [pathlib.Path(o.program).resolve(), "img"], "qemu-img": ["qemu-img"]}
    folder = pathlib.Path(tempfile.mkdtemp(prefix="doppel-convert.", dir=o.dir))
    try:
        raw, qcow2 = folder / "source.raw", folder / "source.qcow2"
        make_source(raw, o.size)
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, qcow2], check=True)
        tests = {"raw to qcow2": (raw, ["-O", "qcow2"]), "qcow2 to raw": (qcow2, ["-O", "raw"]), "raw to compressed": (raw, ["-c", "-O", "qcow2"])}
        print(f"{'':20} {'doppel s':>9} {'qemu-img s':>10} {'ratio':>6}")
        for test, (source, options) in tests.items():
            times = {name: [] for name in programs}
            for n in range(o.rounds):
                for name in sorted(programs, reverse=n % 2 == 1):
                    out = folder / f"out-{name}"
                    out.unlink(missing_ok=True)
                    subprocess.run(["sync", folder], check=True)
                    times[name].append(timed([*programs[name], "convert", *options, source, out]))
            for checker in programs.values():
                for name in programs:
                    subprocess.run([*map(str, checker), "compare", "-q", raw, folder / f"out-{name}"], check=True)
            ours, theirs = (statistics.median(times[n]) for n in ("doppel", "qemu-img"))
            print(f"{test:20} {ours:9.3f} {theirs:10.3f} {theirs / ours:6.2f}", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
