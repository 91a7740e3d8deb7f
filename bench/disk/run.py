#!/usr/bin/env python3
"""Disk speed from a Linux guest, against QEMU: bench/disk/run.py build/release/doppel [-n ROUNDS] [-s SECONDS] [-f raw|qcow2] [-t TEST] [CONTROLLER...]

Random 4 KiB and sequential 1 MiB, direct, on a full 512 MiB image (bench/disk/diskbench.c), the emulators by turns; the median of
the rounds and the ratio ours / QEMU's. Needs guests/amd64-disk (scripts/guests/make.sh) and qemu-system-x86_64."""
import argparse
import collections
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GUEST = ROOT / "guests/amd64-disk"
CONTROLLERS = {
    "ide": (["-device", "ide-hd,drive=d,bus=ide.0"], "/dev/sda"),
    "virtio-blk": (["-device", "virtio-blk-pci,drive=d"], "/dev/vda"),
    "ahci": (["-device", "ahci,id=ahci", "-device", "ide-hd,drive=d,bus=ahci.0"], "/dev/sda"),
    "nvme": (["-device", "nvme,drive=d,serial=bench"], "/dev/nvme0n1"),
    "virtio-scsi": (["-device", "virtio-scsi-pci,id=scsi0", "-device", "scsi-hd,drive=d"], "/dev/sda"),
}
SIZE_MIB = 512


def make_initrd(folder):
    """The guest's initramfs with the benchmark behind it."""
    (folder / "bin").mkdir()
    subprocess.run(["gcc", "-O2", "-static", "-o", folder / "bin/diskbench", HERE / "diskbench.c"], check=True)
    cpio = subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=folder, input=b"bin/diskbench\n", capture_output=True, check=True).stdout
    path = folder / "initrd"
    first = (GUEST / "initrd.gz").read_bytes()
    path.write_bytes(first + bytes(-len(first) % 4) + cpio)
    return path


def run(command, image, initrd, controller, o):
    device, node = CONTROLLERS[controller]
    words = f"console=ttyS0 quiet guest_quiet guest_run=diskbench+{node}+{o.seconds}+{o.test}"
    text = subprocess.run([*command, "-M", "pc", "-m", "256", "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none",
                           "-kernel", GUEST / "vmlinuz", "-initrd", initrd, "-append", words,
                           "-drive", f"if=none,id=d,file={image},format={o.format}", *device],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=600).stdout.decode(errors="replace")
    found = {name: float(rate) for name, rate in re.findall(r"DISK (\S+) ([0-9.]+)", text)}
    if len(found) != (1 if o.test else 6):
        sys.exit(f"{command[0]} {controller}: the guest did not finish:\n" + text[-1500:])
    return found


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("controllers", nargs="*", default=["virtio-blk", "ide"])
    p.add_argument("-n", "--rounds", type=int, default=3)
    p.add_argument("-s", "--seconds", type=float, default=3)
    p.add_argument("-f", "--format", default="raw", choices=["raw", "qcow2"])
    p.add_argument("-t", "--test", default="", help="only this one: read-4k, write-4k-8, read-1m...")
    o = p.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="doppel-disk."))
    try:
        initrd, raw = make_initrd(folder), folder / "disk.raw"
        with open(raw, "wb") as f:
            for n in range(SIZE_MIB):
                f.write(bytes([n & 0xff]) * (1 << 20))
        ours = [str(pathlib.Path(o.program).resolve())]
        image = raw
        if o.format == "qcow2":
            image = folder / "disk.qcow2"
            subprocess.run([*ours, "img", "convert", "-O", "qcow2", raw, image], check=True)
        commands = {"doppel": [*ours, "qemu-system-x86_64"], "qemu": ["qemu-system-x86_64", "-accel", "tcg"]}
        for controller in o.controllers:
            rates = {name: collections.defaultdict(list) for name in commands}
            for _ in range(o.rounds):
                for name, command in commands.items():
                    for test, rate in run(command, image, initrd, controller, o).items():
                        rates[name][test].append(rate)
            for test in rates["doppel"]:
                a, b = (statistics.median(rates[n][test]) for n in ("doppel", "qemu"))
                print(f"{controller:12} {o.format:6} {test:11} {a:10.1f} {b:10.1f} {a / b:6.2f}", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
