#!/usr/bin/env python3
"""Boots of the Malta guests, this emulator and Debian's QEMU in turns: bench/malta.py [--runs N] [--ours PROGRAM] [ORDER...]

CPU time (user and system) of the process from its start to the guest's power-off: the kernel, the initramfs's checks. ORDER: mipsel, mips (each
needs its guest: scripts/guests/make.sh). Prints each run, the medians and the ratio QEMU / ours."""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
GUESTS = pathlib.Path(os.environ.get("DOPPEL_GUESTS", ROOT / "guests"))


def boot(command, disk):
    """CPU seconds; the guest must have passed its checks."""
    before = os.times()
    p = subprocess.run([*command, "-drive", f"file={disk},format=raw"], stdin=subprocess.DEVNULL, capture_output=True, timeout=900)
    after = os.times()
    if p.returncode != 0 or b"GUEST-OK" not in p.stdout:
        sys.exit(f"{command[0]}: exit status {p.returncode}:\n{p.stdout[-1000:].decode(errors='replace')}{p.stderr.decode(errors='replace')}")
    return after.children_user - before.children_user + after.children_system - before.children_system


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--ours", default=str(ROOT / "build/release/doppel"))
    p.add_argument("orders", nargs="*", default=[o for o in ("mipsel", "mips") if (GUESTS / f"{o}-malta/vmlinux").exists()])
    o = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="doppel-bench.") as folder:
        disk = pathlib.Path(folder) / "disk.img"
        with open(disk, "wb") as f:
            f.truncate(64 << 20)
        for order in o.orders:
            guest = GUESTS / f"{order}-malta"
            rest = ["-M", "malta", "-cpu", "24Kf", "-m", "128", "-vga", "cirrus", "-nographic", "-no-reboot", "-kernel", str(guest / "vmlinux"), "-initrd", str(guest / "initrd.gz"),
                    "-append", "console=ttyS0"]
            times = {"qemu": [], "ours": []}
            for run in range(o.runs):
                times["qemu"].append(boot([f"qemu-system-{order}", *rest], disk))
                times["ours"].append(boot([o.ours, f"qemu-system-{order}", *rest], disk))
                print(f"{order} run {run + 1}: QEMU {times['qemu'][-1]:.2f} s, ours {times['ours'][-1]:.2f} s", flush=True)
            qemu, ours = (statistics.median(times[k]) for k in ("qemu", "ours"))
            print(f"{order}: QEMU {qemu:.2f} s, ours {ours:.2f} s: {qemu / ours:.2f}")


if __name__ == "__main__":
    main()
