#!/usr/bin/env python3
"""Boots real guests: tests/boot/run.py build/release/doppel [NAME...]; last line: N passed, N failed.

Each test is a function test_*(t); t.boot() runs the emulator and returns what the serial port said. DOPPEL_TEST_FULL=1 adds the
slow ones (names test_full_*)."""
import os
import pathlib
import re
import select
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import GUESTS, Emulator, Failure, check, run_tests  # noqa: E402


class Run:
    def __init__(self, status, text):
        self.status, self.text = status, text

    def need(self, *patterns):
        for p in patterns:
            if not re.search(p, self.text):
                raise Failure(f"no {p!r} in the output; its end:\n" + self.text[-1500:])
        return self

    def never(self, *patterns):
        for p in patterns:
            if m := re.search(p, self.text):
                at = m.start()
                raise Failure(f"{p!r} in the output:\n" + self.text[max(0, at - 800):at + 800])
        return self

    def exited(self, status=0):
        if self.status != status:
            raise Failure(f"exit status {self.status}, expected {status}; the output's end:\n" + self.text[-1500:])
        return self


class Tester:
    def __init__(self, program):
        self.program = str(pathlib.Path(program).resolve())
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="doppel-boot."))

    def scratch(self, megabytes=64):
        path = self.dir / "scratch.img"
        with open(path, "wb") as f:
            f.truncate(megabytes << 20)
        return path

    def boot(self, *args, arch="x86_64", timeout=240, stdin=None):
        command = [self.program, f"qemu-system-{arch}", *map(str, args)]
        try:
            p = subprocess.run(command, capture_output=True, timeout=timeout, input=stdin)
            return Run(p.returncode, (p.stdout + p.stderr).decode(errors="replace").replace("\r", ""))
        except subprocess.TimeoutExpired as e:
            text = ((e.stdout or b"") + (e.stderr or b"")).decode(errors="replace").replace("\r", "")
            raise Failure(f"still running after {timeout} s; the output's end:\n" + text[-2000:]) from None

    def guest(self, name, *args, append="", arch=None, memory=256, timeout=240):
        arch = arch or ("i386" if name.startswith("i386") else "x86_64")
        cpu = ["-cpu", "pentium3"] if arch == "i386" else []
        folder = GUESTS / name
        return self.boot("-M", "pc", "-m", memory, "-nographic", "-no-reboot", *cpu, "-kernel", folder / "vmlinuz", "-initrd", folder / "initrd.gz",
                         "-append", ("console=ttyS0 " + append).strip(), *args, arch=arch, timeout=timeout)


GOOD = (r"GUEST-CHECK md5 pass", r"GUEST-CHECK sha256 pass", r"GUEST-CHECK gzip pass", r"GUEST-CHECK float pass", r"GUEST-CHECK fork pass",
        r"GUEST-OK", r"Power down")
BAD = (r"Kernel panic", r"BUG:", r"Oops", r"GUEST-BAD", r"GUEST-CHECK \S+ FAIL", r"rcu.*stall", r"Call Trace")


def test_i386_disk(t):
    t.guest("i386-pc", "-drive", f"file={t.scratch()},format=raw").exited().need(*GOOD, r"GUEST-CHECK disk:/dev/sda pass").never(*BAD)


def test_amd64_disk(t):
    t.guest("amd64-pc", "-drive", f"file={t.scratch()},format=raw").exited().need(*GOOD, r"GUEST-CHECK disk:/dev/sda pass").never(*BAD)


def test_amd64_smp2(t):
    run = t.guest("amd64-pc", "-smp", "2").exited().need(*GOOD, r"GUEST-CHECK parallel pass").never(*BAD)
    if len(re.findall(r"^processor\s*:", run.text, re.M)) != 2:
        raise Failure("the guest does not see two CPUs")


def test_i386_reboot(t):
    t.guest("i386-pc", append="guest_quiet guest_end=reboot").exited().never(*BAD)


def test_amd64_max(t):
    t.guest("amd64-pc", "-cpu", "max").exited().need(*GOOD).never(*BAD)


def test_i386_interpreter(t):
    t.guest("i386-pc", "-accel", "interp", append="guest_quiet guest_run=echo+INIT-RUNS", timeout=900).exited().need("INIT-RUNS").never(*BAD)


def test_shell(t):
    """A prompt on the serial console that takes commands."""
    p = subprocess.Popen([t.program, "qemu-system-x86_64", "-m", "256", "-nographic", "-no-reboot", "-kernel", GUESTS / "amd64-pc/vmlinuz",
                          "-initrd", GUESTS / "amd64-pc/initrd.gz", "-append", "console=ttyS0 quiet guest_quiet guest_end=shell"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text, sent, end = "", 0, time.time() + 120
    while time.time() < end:
        if select.select([p.stdout], [], [], 1)[0]:
            part = os.read(p.stdout.fileno(), 65536)
            if not part:
                break
            text += part.decode(errors="replace")
        if sent == 0 and "/ # " in text:
            p.stdin.write(b"echo six times seven is $((6*7))\n")
            p.stdin.flush()
            sent = 1
        if sent == 1 and "is 42" in text:
            p.stdin.write(b"poweroff -f\n")
            p.stdin.flush()
            sent = 2
    p.kill() if p.poll() is None else None
    Run(p.wait(), text).exited().need("six times seven is 42", "Power down")


def test_iso_isolinux(t):
    t.boot("-cpu", "pentium3", "-m", "256", "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-cdrom", GUESTS / "pc-iso/boot.iso",
           arch="i386").exited().need(*GOOD).never(*BAD)


def test_iso_grub(t):
    t.boot("-cpu", "pentium3", "-m", "256", "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-cdrom", GUESTS / "pc-grub-iso/grub.iso",
           arch="i386").exited().need("Doppel i386 guest", *GOOD).never(*BAD)


def test_disk_grub(t):
    t.boot("-cpu", "pentium3", "-m", "256", "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot",
           "-drive", f"file={GUESTS / 'pc-disk/disk.img'},format=raw,snapshot=on", arch="i386").exited().need("Doppel i386 guest", *GOOD).never(*BAD)


# --- -icount: the same run again

def repeat_run(t, name, arch, args, variants):
    """Runs a machine to where it stops, once a variant: registers, console and screen must be the same."""
    first = None
    for variant in variants:
        with Emulator(t.program, "-icount", "shift=3", "-rtc", "base=2026-01-01", "-no-shutdown", *args, *variant.split(), arch=arch) as m:
            m.wait_paused()
            found = {"registers": m.command("info registers"), "console": m.serial().decode(errors="replace"), "screen": m.screen(), "text": m.text()}
        if first is None:
            first = found
            continue
        for what in ("registers", "console", "text"):
            for a, b in zip((first[what] + "\nEND").splitlines(), (found[what] + "\nEND").splitlines()):
                check(a == b, f"{name}, {what}: first difference\n  {variants[0]}: {a}\n  {variant}: {b}")
        check(first["screen"].data == found["screen"].data, f"{name}: {variants[0]} and {variant} show different screens")
    return first


ALL_WAYS = ("-accel tcg", "-accel tcg", "-accel interp", "-accel tcg -singlestep", "-accel tcg --opt=none")


def test_icount_firmware(t):
    """SeaBIOS and GRUB up to the middle of the menu: two runs, the interpreter, single instructions, no passes."""
    r = repeat_run(t, "GRUB", "i386", ["-cpu", "pentium3", "-m", "256", "-cdrom", GUESTS / "pc-grub-iso/grub.iso", "--stop-at", "2000"], ALL_WAYS)
    check("GNU GRUB" in r["text"] and "*Doppel i386 guest" in r["text"], "the menu is not there:\n" + r["text"])


def icount_boot(t, name, ways):
    arch, cpu = ("i386", ["-cpu", "pentium3"]) if name.startswith("i386") else ("x86_64", [])
    r = repeat_run(t, name, arch, [*cpu, "-m", "256", "-drive", f"file={t.scratch()},format=raw,snapshot=on", "-kernel", GUESTS / name / "vmlinuz",
                                   "-initrd", GUESTS / name / "initrd.gz", "-append", "console=tty0 console=ttyS0"], ways)
    Run(0, r["console"].replace("\r", "")).need(*GOOD, r"GUEST-CHECK disk:/dev/sda pass").never(*BAD)


def test_icount_i386(t):
    icount_boot(t, "i386-pc", ALL_WAYS[:2])


def test_icount_amd64(t):
    icount_boot(t, "amd64-pc", ALL_WAYS[:2])


def test_full_icount_i386(t):
    icount_boot(t, "i386-pc", ALL_WAYS)


def test_full_icount_amd64(t):
    icount_boot(t, "amd64-pc", ALL_WAYS)


def test_full_twenty_boots(t):
    for name in ("i386-pc", "amd64-pc"):
        for i in range(20):
            try:
                t.guest(name).exited().need(*GOOD).never(*BAD)
            except Failure as e:
                raise Failure(f"{name}, boot {i + 1}: {e}") from None


sys.exit(run_tests("boot", globals(), Tester(sys.argv[1]), sys.argv[2:]))
