#!/usr/bin/env python3
"""How long a clone of a running machine takes: bench/disk/clone.py build/release/doppel [-m MIB] [-n ROUNDS]

A Linux guest fills so much memory and goes on writing to it; the time of `doppel clone`, and the
time until the clone runs (`doppel run`, to its first line on the serial port), the median of the rounds. Needs guests/amd64-pc."""
import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
GUEST = ROOT / "guests/amd64-pc"
# The memory as a file in tmpfs; then a part of the file anew, and a line, again and again.
WORK = ("mount -t tmpfs -o size={mib}m none /tmp; tr '\\0' x < /dev/zero | head -c {bytes} > /tmp/big; echo FULL; n=0; while true; do "
        "dd if=/dev/urandom of=/tmp/big bs=64k count=1 seek=$((n%1000)) conv=notrunc 2>/dev/null; echo TICK-$n; n=$((n- -1)); done")


def wait_for(path, pattern, seconds, offset=0):
    end = time.time() + seconds
    while time.time() < end:
        data = path.read_bytes()[offset:] if path.exists() else b""
        if m := re.search(pattern, data):
            return m
        time.sleep(0.005)
    sys.exit(f"no {pattern} within {seconds} s")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("-m", "--memory", type=int, default=1024)
    p.add_argument("-n", "--rounds", type=int, default=3)
    o = p.parse_args()
    program = str(pathlib.Path(o.program).resolve())
    folder = pathlib.Path(tempfile.mkdtemp(prefix="doppel-clone."))
    env = dict(os.environ, XDG_RUNTIME_DIR=str(folder))
    machines = []
    try:
        for name in ("vmlinuz", "initrd.gz"):
            shutil.copy(GUEST / name, folder)
        subprocess.run([program, "img", "create", "-q", "-f", "raw", "disk.img", "64M"], cwd=folder, check=True)
        words = "console=ttyS0 quiet guest_quiet guest_run=" + WORK.format(mib=o.memory + 64, bytes=o.memory << 20).replace(" ", "+")
        serial = folder / "serial"
        machines.append(subprocess.Popen([program, "run", "vmlinuz", "-initrd", "initrd.gz", "-m", str(o.memory + 512), "-append", words, "-drive", "file=disk.img,format=raw",
                                          "-display", "none", "-serial", f"file:{serial}"], cwd=folder, env=env, stdin=subprocess.DEVNULL))
        wait_for(serial, b"FULL", 900)
        wait_for(serial, rb"TICK-\d+\r", 60)
        took, ran = [], []
        for n in range(o.rounds):
            begin = time.perf_counter()
            subprocess.run([program, "clone", "vmlinuz", f"clone{n}.qcow2"], cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
            took.append(time.perf_counter() - begin)
            other = folder / f"serial{n}"
            m = subprocess.Popen([program, "run", f"clone{n}.qcow2", "-serial", f"file:{other}", "-display", "none"], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
            machines.append(m)
            wait_for(other, rb"TICK-\d+", 120)
            ran.append(time.perf_counter() - begin)
            m.kill()
            m.wait()
            at = serial.stat().st_size
            wait_for(serial, rb"TICK-\d+\r", 60, at)  # the original goes on
        print(f"memory in use {o.memory} MiB: cloned in {statistics.median(took):.2f} s ({min(took):.2f} to {max(took):.2f}), "
              f"the clone runs {statistics.median(ran):.2f} s after the command ({min(ran):.2f} to {max(ran):.2f})")
    finally:
        for m in machines:
            if m.poll() is None:
                m.kill()
            m.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
