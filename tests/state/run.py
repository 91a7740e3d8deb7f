#!/usr/bin/env python3
"""States of running machines: tests/state/run.py build/release/doppel [NAME...]"""
import hashlib
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import GUESTS, Emulator, Failure, check, run_tests, wait_until  # noqa: E402

MIB = 1 << 20
STEPS = 60
# Every step depends on the one before, in memory and on the disk; at the end all of the disk's blocks are read again.
WORK = ("echo 0 > /tmp/h; i=0; while [ $i -lt %d ]; do seq $i 3000 | cat /tmp/h - | sha256sum | cut -c1-64 > /tmp/g; mv /tmp/g /tmp/h; "
        "dd if=/tmp/h of=%s bs=512 seek=$((i*9)) conv=notrunc 2>/dev/null; echo STEP-$i; i=$((i- -1)); done; sync; "
        "echo 3 > /proc/sys/vm/drop_caches; j=0; while [ $j -lt %d ]; do dd if=%s bs=512 skip=$((j*9)) count=1 2>/dev/null | head -n 1; "
        "j=$((j- -1)); done | sha256sum | cut -c1-64 > /tmp/d; echo RESULT-$(cat /tmp/h)-$(cat /tmp/d)-END")


def results(steps):
    h, blocks = b"0\n", b""
    for i in range(steps):
        h = hashlib.sha256(h + b"".join(b"%d\n" % n for n in range(i, 3001))).hexdigest().encode() + b"\n"
        blocks += h
    return f"RESULT-{h.decode().strip()}-{hashlib.sha256(blocks).hexdigest()}-END"


class Tester:
    def __init__(self, program):
        self.program = str(pathlib.Path(program).resolve())
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="doppel-state."))

    def img(self, *args):
        p = subprocess.run([self.program, "img", *map(str, args)], capture_output=True, text=True)
        return p.returncode, p.stdout + p.stderr

    def disk(self, name, kind="qcow2", size="64M"):
        path = self.dir / name
        path.unlink(missing_ok=True)
        status, text = self.img("create", "-f", kind, path, size)
        check(status == 0, text)
        return path

    def work(self, device="/dev/sda", steps=STEPS):
        return ("console=ttyS0 quiet guest_quiet guest_run=" + WORK % (steps, device, steps, device)).replace(" ", "+").replace("+quiet", " quiet").replace(
            "+guest_", " guest_")

    def guest(self, *args, disk=None, interface="ide", steps=STEPS, memory=256, guest="amd64-pc", kind="qcow2"):
        device = {"ide": "/dev/sda", "virtio": "/dev/vda"}[interface]
        drive = ["-drive", f"file={disk},if={interface},format={kind}"] if disk else []
        return Emulator(self.program, "-m", memory, "-no-reboot", "-kernel", GUESTS / guest / "vmlinuz", "-initrd", GUESTS / guest / "initrd.gz",
                        "-append", self.work(device, steps), *drive, *args)


def finishes(m, steps=STEPS, timeout=300):
    m.wait_for_serial(r"RESULT-\S+-END", timeout)
    got = re.search(rb"RESULT-\S+-END", m.serial())[0].decode()
    check(got == results(steps), f"the guest has computed {got}, not {results(steps)}")
    m.exited()


def savevm_once(t, at, *args, **kw):
    disk = t.disk("vm.qcow2")
    with t.guest(*args, disk=disk, **kw) as m:
        m.wait_for_serial(rf"STEP-{at}\b")
        begin = time.time()
        said = m.command("savevm here")
        check(said == "", f"savevm: {said}")
        took = time.time() - begin
        check("here" in m.command("info snapshots"), "info snapshots")
        m.wait_for_serial(rf"STEP-{at + 3}\b")
        m.monitor.quit()
        m.exited()
    status, text = t.img("check", disk)
    check(status == 0 and "No errors" in text, text)
    with t.guest("-loadvm", "here", *args, disk=disk, **kw) as m:
        finishes(m)
        check(f"STEP-{at}\r\n".encode() not in m.serial(), "it began anew")
    status, text = t.img("check", disk)
    check(status == 0 and "No errors" in text, text)
    return took


def test_savevm(t):
    """Saved in the midst of work, powered off, loaded by another process: it goes on and ends right."""
    savevm_once(t, 20)


def test_savevm_smp(t):
    savevm_once(t, 20, "-smp", "2")


def test_full_savevm_20(t):
    for i in range(20):
        virtio = i % 4 > 1
        savevm_once(t, 3 + 2 * i, *(["-smp", "2"] if i % 2 else []), interface="virtio" if virtio else "ide", guest="amd64-virtio" if virtio else "amd64-pc")


def test_loadvm_again(t):
    """In the same process, several times; names; what can't be done says why."""
    disk = t.disk("again.qcow2")
    with t.guest(disk=disk) as m:
        m.wait_for_serial(r"STEP-10\b")
        for name in ("a", "b", "a"):
            check(m.command(f"savevm {name}") == "", "savevm")
        rows = re.findall(r"^--\s+(\w+)", m.command("info snapshots"), re.M)
        check(rows == ["b", "a"], rows)
        for command in ("loadvm nope", "delvm nope"):
            check("'nope' does not exist" in m.command(command), command)
        m.wait_for_serial(r"STEP-30\b")
        for _ in range(2):
            before = len(m.serial())
            check(m.command("loadvm a") == "" and m.command("info status") == "VM status: running\n", "loadvm")
            wait_until("the steps again", lambda: b"STEP-20\r" in m.serial()[before:])
        check(m.command("delvm b") == "", "delvm")
        check(re.findall(r"^--\s+(\w+)", m.command("info snapshots"), re.M) == ["a"], "after delvm")
        m.command("stop")
        m.command("loadvm a")
        check("paused" in m.command("info status"), "a stopped machine stays so")
        m.command("cont")
        finishes(m)
    p = subprocess.run(["qemu-img", "snapshot", "-l", disk], capture_output=True, text=True)
    check(re.search(r"^\d+\s+a\s+[\d.]+ MiB", p.stdout, re.M), p.stdout)
    p = subprocess.run(["qemu-img", "check", disk], capture_output=True, text=True)
    check("No errors" in p.stdout, p.stdout)


def refused(t, text, *args, **kw):
    try:
        with t.guest(*args, **kw) as m:
            m.exited(1, 30)
        said = m.said
    except Failure as e:
        said = str(e)
    check(re.search(text, said), f"{text!r} not in {said}")


def test_refusals(t):
    disk = t.disk("refused.qcow2")
    with t.guest(disk=disk) as m:
        m.wait_for_serial(r"STEP-2\b")
        m.command("savevm s")
        m.monitor.quit()
        m.exited()
    refused(t, r"saved with -smp 1, this machine has 2 \(give -smp 1\)", "-loadvm", "s", "-smp", "2", disk=disk)
    refused(t, r"256 MiB of RAM, this machine has 300", "-loadvm", "s", disk=disk, memory=300)
    refused(t, r"CPU features that this machine's CPU has not: cx16", "-loadvm", "s", "-cpu", "qemu64,-cx16", disk=disk)
    refused(t, r"this machine has devices that the state has not: \S+", "-loadvm", "s", "-device", "virtio-rng-pci", disk=disk)
    refused(t, r"has devices that this machine has not", "-loadvm", "s", "-nic", "none", disk=disk)
    refused(t, r"'nope' does not exist", "-loadvm", "nope", disk=disk)
    raw = t.disk("refused.img", "raw")
    with t.guest(disk=raw, kind="raw") as m:
        check("Device 'ide0-hd0' is writable but does not support snapshots" in m.command("savevm x"), "raw")
    with t.guest() as m:
        check("No block device can accept snapshots" in m.command("savevm x"), "no disk")
        check("No available block device supports snapshots" in m.command("info snapshots"), "no disk")


if __name__ == "__main__":
    sys.exit(run_tests("state", globals(), Tester(sys.argv[1]), sys.argv[2:]))
