#!/usr/bin/env python3
"""Boots real guests: tests/boot/run.py build/release/doppel [NAME...]; last line: N passed, N failed.

Each test is a function test_*(t); t.boot() runs the emulator and returns what the serial port said. DOPPEL_TEST_FULL=1 adds the
slow ones (names test_full_*)."""
import hashlib
import http.server
import os
import pathlib
import random
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import GUESTS, Emulator, Failure, Monitor, Screen, check, run_tests, wait_until  # noqa: E402


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


def malta(t, *args, append="", timeout=240, arch="mipsel"):
    folder = GUESTS / f"{arch}-malta"
    return t.boot("-M", "malta", "-m", 256, "-nographic", "-no-reboot", "-kernel", folder / "vmlinux", "-initrd", folder / "initrd.gz",
                  "-append", ("console=ttyS0 " + append).strip(), *args, arch=arch, timeout=timeout)


def malta_board(t, arch):
    run = malta(t, "-drive", f"file={t.scratch()},format=raw", append="guest_run=ip+link", arch=arch).exited()
    run.need(*GOOD, r"GUEST-CHECK disk:/dev/sda pass", r"pcnet32: eth0: registered", r"clocksource MIPS").never(*BAD)


def malta_network(t, arch):
    folder = GUESTS / f"{arch}-malta"
    check_cards(t, f"qemu-system-{arch}", ("pcnet", "e1000", "virtio-net-pci"), "-M", "malta", "-kernel", folder / "vmlinux", "-initrd", folder / "initrd.gz")


def test_mipsel_malta(t):
    """IDE disk, the board's network card, clock and power-off."""
    malta_board(t, "mipsel")


def test_mipsel_network(t):
    malta_network(t, "mipsel")


# The same in big-endian byte order. Debian has no such port: that guest is made from sources, by ./test --full.
if (GUESTS / "mips-malta/vmlinux").exists():
    def test_mips_malta(t):
        malta_board(t, "mips")

    def test_mips_network(t):
        malta_network(t, "mips")

    def test_mips_virtio(t):
        malta(t, "-drive", f"file={t.scratch()},format=raw,if=virtio", arch="mips").exited().need(*GOOD, r"GUEST-CHECK disk:/dev/vda pass").never(*BAD)


def test_mipsel_virtio(t):
    malta(t, "-drive", f"file={t.scratch()},format=raw,if=virtio").exited().need(*GOOD, r"GUEST-CHECK disk:/dev/vda pass").never(*BAD)


def test_i386_reboot(t):
    t.guest("i386-pc", append="guest_quiet guest_end=reboot").exited().never(*BAD)


def test_amd64_max(t):
    t.guest("amd64-pc", "-cpu", "max").exited().need(*GOOD).never(*BAD)


class Shell:
    """A guest's shell on its serial console."""

    def __init__(self, t, *args):
        self.p = subprocess.Popen([t.program, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.text = ""
        self.wait(r"/ # ", 120)

    def wait(self, pattern, timeout=60):
        """What came since the last wait, up to the pattern, which is taken out."""
        end = time.time() + timeout
        while not (m := re.search(pattern, self.text)):
            check(time.time() < end and self.p.poll() is None, f"no {pattern!r} within {timeout} s:\n{self.text[-1500:]}")
            if select.select([self.p.stdout], [], [], 1)[0]:
                self.text += os.read(self.p.stdout.fileno(), 65536).decode(errors="replace").replace("\r", "")
        before, self.text = self.text[:m.start()], self.text[m.end():]
        return m[1] if m.groups() else before

    def send(self, line):
        self.p.stdin.write(line.encode() + b"\n")
        self.p.stdin.flush()

    def waits(self):
        """How often the emulator's threads have slept."""
        tasks = pathlib.Path(f"/proc/{self.p.pid}/task").iterdir()
        return sum(int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", (task / "status").read_text(), re.M)[1]) for task in tasks)


def test_i386_calm(t):
    """A guest in which no program runs wakes the host less often than it ticks (250 a second), and each tick of its periodic timers comes."""
    for append, row in (("highres=off", "LOC"), ("highres=off nolapic", "0"), ("highres=off nolapic hpet=disable", "0"), ("", "")):
        shell = Shell(t, "qemu-system-i386", "-M", "pc", "-m", "256", "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none",
                      "-kernel", GUESTS / "i386-pc/vmlinuz", "-initrd", GUESTS / "i386-pc/initrd.gz", "-append", f"console=ttyS0 quiet guest_quiet guest_end=shell {append}")
        try:
            shell.send("n() { grep -w $1: /proc/interrupts | tr -s ' ' | sed 's/^ //' | cut -d ' ' -f 2; }")
            tried = []
            while not tried or not (tried[-1][1] < 125 and (not row or 1950 < tried[-1][0] < 2100)):     # a busy host may lose some
                check(len(tried) < 4, f"{append!r}: (ticks in 8 s, sleeps a second): {tried}")
                shell.send(f"a=$(n {row or 'LOC'}); sleep 8; echo TICKS $(( $(n {row or 'LOC'}) - a ))")
                time.sleep(2.5)
                before, start = shell.waits(), time.monotonic()
                time.sleep(4.5)
                rate = (shell.waits() - before) / (time.monotonic() - start)
                tried.append((int(shell.wait(r"\nTICKS (\d+)")), round(rate)))
            print(f"      {append or 'tickless timer'}: ticks in 8 s, sleeps a second: {tried}")
        finally:
            shell.p.kill()
            shell.p.wait()


def test_i386_switches(t):
    """Without each of the executor's optimisations, and without any."""
    for opt in ("-chain", "-resume", "-spaces", "-victims", "none"):
        t.guest("i386-pc", "--opt=" + opt, append="guest_quiet guest_run=echo+INIT-RUNS").exited().need("INIT-RUNS").never(*BAD)


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


# --- folders of the host as FAT disks

FAT = ("mkdir /a /b /c; mount -t vfat -o ro,iocharset=utf8 /dev/vda1 /a; mount -t vfat -o iocharset=utf8 /dev/sda1 /b; mount -t vfat -o iocharset=utf8 /dev/fd0 /c; "
       "for d in /a /b /c; do cd $d; echo FAT-BEGIN; find . -type f | while read -r f; do sha256sum \"$f\"; done; echo FAT-END; done; cd /; "
       "echo written > /b/new.txt; mv \"/b/Some Folder\" /b/moved; rm /b/UPPER.TXT; umount /b; mount -t vfat -o iocharset=utf8 /dev/sda1 /b; cat /b/new.txt; ls /b/moved; "
       "ls /b/UPPER.TXT; touch /a/x; umount /b; echo FAT-OVER")


def test_fat_folders(t):
    """A guest reads folders as FAT16, FAT32 and floppy disks, by their long names, and writes to one; the folder stays as it was."""
    folder, small = t.dir / "Share", t.dir / "small"
    for top in (folder, small):
        shutil.rmtree(top, ignore_errors=True)
        (top / "Some Folder/and one below").mkdir(parents=True)
        for name, data in (("UPPER.TXT", b"upper"), ("a long name, with spaces.text", b"long" * 3000), ("\u00e4\u00f6\u00fc \u4e2d\u6587.txt", b"unicode"), ("empty", b""),
                           ("Some Folder/inner", os.urandom(100000)), ("Some Folder/and one below/deep.bin", os.urandom(70001))):
            (top / name).write_bytes(data)
    for n in range(300):
        (folder / "Some Folder" / f"file number {n}").write_text(str(n))
    (folder / "big").write_bytes(os.urandom(5 << 20))

    def listing(top):
        return {"./" + str(f.relative_to(top)): hashlib.sha256(f.read_bytes()).hexdigest() for f in top.rglob("*") if f.is_file()}
    before = listing(folder)
    run = t.guest("amd64-fat", "-drive", f"file=fat:{folder},format=raw,if=virtio,readonly=on", "-drive", f"file=fat:rw:32:{folder},format=raw,if=ide", "-fda",
                  f"fat:floppy:{small}", append="quiet guest_quiet guest_run=" + FAT.replace(" ", "+"), timeout=300).exited()
    found = [dict(line.split("  ", 1)[::-1] for line in part.split("FAT-END")[0].splitlines() if "  " in line) for part in run.text.split("FAT-BEGIN")[1:]]
    check(len(found) == 3, run.text[-1500:])
    for got, top in zip(found, (folder, folder, small)):
        want = listing(top)
        check(got == want, f"{top}: missing {sorted(set(want) - set(got))[:5]}, more {sorted(set(got) - set(want))[:5]}")
    run.need("written\n", r"and one below", r"UPPER.TXT: No such file", r"touch: /a/x: Read-only", "FAT-OVER").never(*BAD, "FAT-fs .*error")
    check(listing(folder) == before, "the guest has changed the folder")


# --- a Debian root on every disk controller

CONTROLLERS = {
    "ide": ["-device", "ide-hd,drive=d"],
    "virtio-blk": ["-device", "virtio-blk-pci,drive=d"],
    "ahci": ["-device", "ahci,id=ahci", "-device", "ide-hd,drive=d,bus=ahci.0"],
    "nvme": ["-device", "nvme,drive=d,serial=root"],
    "virtio-scsi": ["-device", "virtio-scsi-pci,id=scsi0", "-device", "scsi-hd,drive=d,bus=scsi0.0"],
}


def image_tool(t, *args):
    p = subprocess.run([t.program, "img", *map(str, args)], capture_output=True, text=True)
    return p.returncode, p.stdout + p.stderr


def root_image(t, name):
    path = t.dir / f"{name}.qcow2"
    path.unlink(missing_ok=True)
    status, text = image_tool(t, "convert", "-O", "qcow2", GUESTS / "amd64-root/disk.img", path)
    check(status == 0, text)
    return path


def root_command(image, controller, append=None):
    """With `append` the kernel comes from its file, else GRUB on the disk loads it."""
    folder = GUESTS / "amd64-disk"
    kernel = ["-kernel", folder / "vmlinuz", "-initrd", folder / "initrd.gz", "-append", f"console=ttyS0 quiet guest_root=doppel-root {append}"]
    return ["-M", "pc", "-m", "256", "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-nic", "none",
            "-drive", f"if=none,id=d,file={image}", *CONTROLLERS[controller], *(kernel if append else [])]


def check_image(t, image, leaks_allowed=False):
    """No corruption, by our check and, where it is installed, by qemu-img's; leaks only after a kill."""
    good = (0, 3) if leaks_allowed else (0,)
    status, text = image_tool(t, "check", image)
    check(status in good, f"{image}: check says {status}\n{text}")
    if qemu_img := shutil.which("qemu-img"):
        p = subprocess.run([qemu_img, "check", image], capture_output=True, text=True)
        check(p.returncode in good, f"{image}: qemu-img check says {p.returncode}\n{p.stdout}{p.stderr}")


def check_file_system(t, image):
    raw = t.dir / "root.raw"
    status, text = image_tool(t, "convert", "-O", "raw", image, raw)
    check(status == 0, text)
    p = subprocess.run(["/sbin/e2fsck", "-fn", f"{raw}?offset=1048576"], capture_output=True, text=True)
    check(p.returncode == 0, f"e2fsck says {p.returncode}:\n{p.stdout[-3000:]}{p.stderr}")
    raw.unlink()


def test_root_disks(t):
    """SeaBIOS and GRUB start a Debian root from a qcow2 image; what it writes is there after the caches are dropped."""
    for controller in CONTROLLERS:
        image = root_image(t, controller)
        t.boot(*root_command(image, controller), timeout=120).exited().need(r"GUEST-ROOT up on /dev/", r"GUEST-ROOT hash pass 16 MiB").never(*BAD, "GUEST-ROOT hash FAIL")
        check_image(t, image)
        check_file_system(t, image)
        image.unlink()


def root_2gib(t, controller):
    image, begin = root_image(t, controller), time.time()
    run = t.boot(*root_command(image, controller, "guest_write=2048"), timeout=7200).exited().need(r"GUEST-ROOT hash pass 2048 MiB").never(*BAD, "GUEST-ROOT hash FAIL")
    check_image(t, image)
    check_file_system(t, image)
    print(f"      {controller}: {re.search('GUEST-ROOT hash pass.*', run.text)[0]}, {time.time() - begin:.0f} s", flush=True)
    image.unlink()


def write_until_killed(t, image, controller, last, more):
    """A boot on a disk that was cut off: the files up to `last` are verified, then more are written, and the emulator is killed some time after
    that. Returns the last file that the guest had synced."""
    words = (f"guest_verify={last} " if last else "") + f"guest_files={last + 1}"
    p = subprocess.Popen([t.program, "qemu-system-x86_64", *map(str, root_command(image, controller, words))],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text, end = "", time.time() + 3600
    try:
        # A busy host gives it little time: what counts is how much it has had.
        while f"GUEST-WROTE {last + more}\r" not in text and time.time() < end and sum(thread_times(p.pid).values()) < 300 * os.sysconf("SC_CLK_TCK"):
            if not select.select([p.stdout], [], [], 5)[0]:
                continue
            part = os.read(p.stdout.fileno(), 65536)
            if not part:
                break
            text += part.decode(errors="replace")
        time.sleep(random.random() * 0.3)
    finally:
        p.kill()
    text += p.stdout.read().decode(errors="replace")
    p.wait()
    wrote = [int(n) for n in re.findall(r"GUEST-WROTE (\d+)\r", text)]
    check(wrote and wrote[-1] >= last + more, "the guest does not write:\n" + text[-1500:])
    if last:
        Run(0, text.replace("\r", "")).need(rf"GUEST-VERIFIED {last}\b").never(*BAD, "GUEST-LOST")
    return wrote[-1]


def check_journal(t, image):
    """The journal of a file system that was cut off is replayed, and nothing else is to be mended."""
    raw = t.dir / "root.raw"
    status, text = image_tool(t, "dd", "-O", "raw", "bs=1M", "skip=1", f"if={image}", f"of={raw}")  # the partition
    check(status == 0, text)
    for flag, good in (("-fp", (0, 1)), ("-fn", (0,))):
        p = subprocess.run(["/sbin/e2fsck", flag, raw], capture_output=True, text=True)
        check(p.returncode in good, f"e2fsck {flag} says {p.returncode}:\n{p.stdout[-3000:]}{p.stderr}")
    raw.unlink()


def kill_rounds(t, controller, rounds):
    """Each boot verifies what the one before had synced when it was killed."""
    image, last, begin = root_image(t, controller), 0, time.time()
    for n in range(rounds):
        last = write_until_killed(t, image, controller, last, random.randrange(2, 8))
        check_image(t, image, leaks_allowed=True)
        if n % 5 == 0:
            check_journal(t, image)
    t.boot(*root_command(image, controller, f"guest_verify={last}"), timeout=3600).exited().need(rf"GUEST-VERIFIED {last}\b").never(*BAD, "GUEST-LOST")
    check_image(t, image, leaks_allowed=True)
    check_file_system(t, image)
    print(f"      {controller}: killed {rounds} times, {last} files synced and found again, {time.time() - begin:.0f} s", flush=True)
    image.unlink()


def test_root_killed(t):
    """kill -9 while the guest writes: the image is sound, the journal recovers, what was synced is there."""
    kill_rounds(t, "virtio-blk", 1)


def each_controller(name, fn):
    """A test for each controller: test_full_NAME_CONTROLLER."""
    for controller in CONTROLLERS:
        globals()[f"test_full_{name}_{controller.replace('-', '_')}"] = lambda t, c=controller: fn(t, c)


each_controller("root_2gib", root_2gib)
each_controller("root_killed", lambda t, controller: kill_rounds(t, controller, 20))


# --- menus and screens

def has_bar(screen, colour, line, other):
    """A text line's cells are coloured, another line's are not."""
    def share(n):
        return screen.share(colour, 0, n * 16, screen.width, n * 16 + 16, 40)
    return share(line) > share(other) + 0.25


def test_iso_isolinux_menu(t):
    """ISOLINUX's prompt on the text screen, then the system behind it."""
    with Emulator(t.program, "-icount", "shift=3", "-no-shutdown", "-cpu", "pentium3", "-m", "256", "-cdrom", GUESTS / "pc-iso/boot.iso", "--stop-at", "1200", arch="i386") as m:
        m.wait_paused()
        text = m.text()
        check("ISOLINUX" in text and re.search(r"^boot: *$", text, re.M), "ISOLINUX does not ask:\n" + text)
        m.keep_screen("isolinux")
        m.command("cont")
        m.wait_for_serial("GUEST-OK")


def menu_then_system(t, media, name):
    """GRUB's menu, its bar moved by a key, then the system in a graphics mode, its last message read from the picture."""
    with Emulator(t.program, "-no-shutdown", "-icount", "shift=3", "-cpu", "pentium3", "-m", "256", *media, "--stop-at", "2000", arch="i386") as m:
        m.wait_paused()
        text = m.text()
        lines = text.splitlines()
        entry = next((i for i, line in enumerate(lines) if "Doppel i386 guest" in line), None)
        check(entry and "GNU GRUB" in text and "Reboot" in lines[entry + 1], "no menu:\n" + text)
        grey = (170, 170, 170)
        check(has_bar(m.screen(), grey, entry, entry + 1), "the first entry is not marked")
        m.keep_screen(f"{name}-menu")
        m.command("cont")
        m.command("sendkey down")
        wait_until("the bar to move down", lambda: has_bar(m.screen(), grey, entry + 1, entry))
        m.command("sendkey up")
        wait_until("the bar to move up", lambda: has_bar(m.screen(), grey, entry, entry + 1))
        m.command("sendkey ret")
        m.wait_for_serial("Power down")
        m.wait_paused()
        m.keep_screen(f"{name}-end")
        end = m.screen()
        check((end.width, end.height) == (1024, 768), f"the guest's screen is {end.width} x {end.height}")
        said = re.findall(r"^\[ *[0-9.]+\] .*", m.serial().decode().replace("\r", ""), re.M)
        for line in (said[-3], next(line for line in said if line.endswith("frame buffer device"))):
            check(end.find_text_line(line), f"{line!r} is nowhere on the screen")
        check(not end.find_text_line(said[0]), "a line that has scrolled away is on the screen")


def test_iso_grub_menu(t):
    menu_then_system(t, ["-cdrom", GUESTS / "pc-grub-iso/grub.iso"], "grub-iso")


def test_disk_grub_menu(t):
    menu_then_system(t, ["-drive", f"file={GUESTS / 'pc-disk/disk.img'},format=raw,snapshot=on"], "grub-disk")


# --- Debian's installer

def installer(t, arch, kind, *args, append):
    name = f"installer-{arch}-{kind}"
    return Emulator(t.program, "-m", "1024", "-kernel", GUESTS / name / "vmlinuz", "-initrd", GUESTS / name / "initrd.gz", "-append", append + " --- quiet", *args,
                    arch="i386" if arch == "i386" else "x86_64")


def installer_text(t, arch):
    """The first question on the VGA text console; the arrow key moves the bar."""
    with installer(t, arch, "text", append="vga=normal nomodeset") as m:
        m.wait_for_text(r"Select a language[^$]*English +- +English", 600)
        english = next(i for i, line in enumerate(m.text().splitlines()) if re.search("English +- +English", line))
        red = (170, 0, 0)
        wait_until("the bar on English", lambda: has_bar(m.screen(), red, english, english + 1))
        m.keep_screen(f"installer-{arch}-text")
        m.command("sendkey down")
        wait_until("the bar to move", lambda: has_bar(m.screen(), red, english + 1, english))


def installer_gtk(t, arch, append, size):
    """The first question in a graphics mode: the language list, white with one bar, which the arrow keys move."""
    with installer(t, arch, "gtk", append=append) as m:
        def bar():
            s = m.screen()
            if (s.width, s.height) != size:
                return None
            # One column in the right half of the list, where no text is: the list is white but for the bar.
            x, bands = int(s.width * 0.7), []
            top, bottom = int(s.height * 0.35), int(s.height * 0.85)
            column = [s.row(y)[x * 3:x * 3 + 3] for y in range(top, bottom)]
            white = max(set(column), key=column.count)  # 16-bit modes have no pure one
            if min(white) < 240:
                return None
            for y, p in enumerate(column):
                if p != white and (y == 0 or column[y - 1] == white):
                    bands.append([y, y])
                if p != white:
                    bands[-1][1] = y
            if len(bands) != 1 or not 12 <= bands[0][1] - bands[0][0] <= 40:
                return None
            return top + bands[0][0]
        start = wait_until("the list of languages with one bar", bar, 900, 1)
        m.keep_screen(f"installer-{arch}-gtk")
        screen = m.screen()
        banner = Screen(b"P6 %d 40 255\n" % screen.width + screen.pixels[:screen.width * 40 * 3])
        check(len(banner.colours()) > 200, f"the banner has {len(banner.colours())} colours")
        m.command("sendkey up")
        wait_until("the bar to move up", lambda: (bar() or start) < start, 120, 0.5)
        m.command("sendkey down")
        wait_until("the bar to come back", lambda: bar() == start, 120, 0.5)


def test_installer_i386_text(t):
    installer_text(t, "i386")


def test_installer_amd64_text(t):
    installer_text(t, "amd64")


def test_full_installer_i386_gtk(t):
    installer_gtk(t, "i386", "vga=788", (1024, 768))


def test_full_installer_amd64_gtk(t):
    installer_gtk(t, "amd64", "vga=788", (1024, 768))


def test_full_installer_amd64_gtk_vbe(t):
    """The mode that the BIOS's VBE calls set, without a driver of the kernel's for the adapter."""
    installer_gtk(t, "amd64", "vga=788 modprobe.blacklist=bochs", (800, 600))


def installer_malta(t, arch):
    """The first question on the serial console."""
    folder = GUESTS / f"installer-{arch}-text"
    with Emulator(t.program, "-M", "malta", "-m", "512", "-kernel", folder / "vmlinuz", "-initrd", folder / "initrd.gz",
                  "-append", "console=ttyS0 TERM=dumb DEBIAN_FRONTEND=text --- quiet", arch=arch) as m:
        m.wait_for_serial(r"Select a language[^$]*2: English[^$]*Prompt:", 900)


def test_full_installer_mipsel(t):
    installer_malta(t, "mipsel")


def test_full_installer_mips64el(t):
    """A kernel of 64 bits."""
    installer_malta(t, "mips64el")


# --- -icount: the same run again

def without_empty(registers):
    """`info registers` without what empty x87 registers hold: that is undefined (docs/adr/0009)."""
    valid = int(re.search(r"FTW=(..)", registers)[1], 16)
    return re.sub(r"FPR(\d)=\w+ \w+", lambda m: m[0] if valid >> int(m[1]) & 1 else f"FPR{m[1]}=empty", registers)


def repeat_run(t, name, arch, args, variants):
    """Runs a machine to where it stops, once a variant: registers, console and screen must be the same."""
    first = None
    for variant in variants:
        with Emulator(t.program, "-icount", "shift=3", "-rtc", "base=2026-01-01", "-no-shutdown", *args, *variant.split(), arch=arch) as m:
            m.wait_paused()
            found = {"registers": without_empty(m.command("info registers")), "console": m.serial().decode(errors="replace"), "screen": m.screen(), "text": m.text()}
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


class Peer:
    """The other end of the guests' connections: an HTTP server and a sink on the host's loopback."""

    def __init__(self, size):
        self.data = os.urandom(size)
        self.hash = hashlib.sha256(self.data).hexdigest()
        self.sent = []  # hashes of what came
        data = self.data

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.sink = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        threading.Thread(target=self.receive, daemon=True).start()

    def receive(self):
        while True:
            c, _ = self.sink.accept()
            h = hashlib.sha256()
            while part := c.recv(1 << 16):
                h.update(part)
            c.close()
            self.sent.append(h.hexdigest())

    def ports(self):
        return f"{self.http.server_port},{self.sink.getsockname()[1]}"


CARDS = {"e1000": "e1000", "rtl8139": "8139too", "ne2k_pci": "ne2k-pci", "pcnet": "pcnet32", "virtio-net-pci": "virtio-net"}  # model, Linux's driver


def check_cards(t, program, cards, *args):
    """DHCP, ping, TCP from, to and into the guest through each card, with hashes."""
    peer, drivers, nics = Peer(1 << 20), [CARDS[c] for c in cards], []
    for i, model in enumerate(cards):
        nics += ["-nic", f"user,id=n{i},model={model},net=10.0.{10 + i}.0/24,hostfwd=tcp::0-:7000"]
    command = [t.program, program, "-m", "256", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio", *map(str, args), *nics,
               "-append", f"console=ttyS0 guest_quiet guest_net={peer.ports()}"]
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    guard = threading.Timer(120, p.kill)
    guard.start()
    text, ports = "", []
    for line in p.stdout:
        line = line.decode(errors="replace").strip()
        text += line + "\n"
        if m := re.search(r"TCP port (\d+) of", line):
            ports.append(int(m[1]))
        if m := re.search(r"GUEST-NET (\S+) listens", line):
            time.sleep(0.5)
            with socket.create_connection(("127.0.0.1", ports[drivers.index(m[1])])) as c:
                c.sendall(peer.data)
    guard.cancel()
    run = Run(p.wait(), text).exited().never(*BAD)
    for driver in drivers:
        run.need(f"GUEST-NET {driver} ping", f"GUEST-NET {driver} got {peer.hash}", f"GUEST-NET {driver} sent", f"GUEST-NET {driver} took {peer.hash}")
    if peer.sent != [peer.hash] * len(cards):
        raise Failure(f"the guest sent something else: {peer.sent}, expected {peer.hash}")


def test_network_cards(t):
    check_cards(t, "qemu-system-x86_64", CARDS, "-kernel", GUESTS / "amd64-net/vmlinuz", "-initrd", GUESTS / "amd64-net/initrd.gz")


def ext4(t, name, files):
    """An ext4 image of 64 MiB with these files (contents are bytes)."""
    tree, image = t.dir / (name + ".tree"), t.dir / name
    (tree / "bin").mkdir(parents=True, exist_ok=True)
    for file, data in files.items():
        (tree / file).write_bytes(data)
    image.unlink(missing_ok=True)
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(image), "64M"], check=True, capture_output=True)
    return image


VIRTIO_CHECKS = b"""
say() { echo "GUEST-VIRTIO $*"; }
sum() { sha256sum | cut -c1-64; }
say read $(sum < /mnt/data)
cp /mnt/data /mnt/copy; cp /bin/busybox /mnt/bin/; sync; echo 3 > /proc/sys/vm/drop_caches
say copy $(sum < /mnt/copy)
say root $(chroot /mnt /bin/busybox cat /name)
umount /mnt && say umount
say serial $(cat /sys/block/vdb/serial)
say disk $(sum < /dev/vdb)
blkdiscard -o 4194304 -l 4194304 /dev/vdb; echo 3 > /proc/sys/vm/drop_caches
say discarded $(dd if=/dev/vdb bs=1M skip=4 count=4 2>/dev/null | sum)
for p in /sys/class/virtio-ports/*; do [ "$(cat $p/name)" != org.doppel.test ] || port=/dev/$(basename $p); done
echo on-the-console > /dev/hvc0
exec 3<>$port
read line <&3; echo "got $line" >&3
say stream $(head -c 1000000 <&3 | sum)
read line <&3; say $line
say rng $(cat /sys/class/misc/hw_random/rng_current) $(head -c 64 /dev/hwrng | wc -c)
"""


def other_end(folder, data, said):
    """The host's side of a guest's port, and of its balloon."""
    with socket.socket(socket.AF_UNIX) as port:
        wait_until("the port's socket", lambda: (folder / "port").exists())
        port.connect(str(folder / "port"))
        port.settimeout(120)
        port.sendall(b"hello\n")
        said.append(port.makefile("rb").readline())
        port.sendall(data)
        monitor = Monitor(folder / "monitor")
        monitor.command("balloon 200")
        wait_until("the balloon", lambda: "actual=200" in monitor.command("info balloon"))
        said.append(monitor.command("info qdm balloon"))
        port.sendall(b"balloon is full\n")
        port.recv(1)


def test_virtio(t):
    """Disks with a file system and raw, random numbers, a stream, a console, the balloon; PCI modern and legacy, MSI-X and INTA#, packed rings."""
    data, raw = os.urandom(6 << 20), os.urandom(16 << 20)
    for options, kernel in (("disable-legacy=on,num-queues=2", "-smp 2"), ("disable-modern=on,vectors=0", "-smp 1"), ("disable-legacy=on,packed=on", "-smp 1")):
        packed = ",packed=on" if "packed" in options else ""
        root = ext4(t, "root.img", {"data": data, "name": b"file-system-of-the-test", "check.sh": VIRTIO_CHECKS})
        disk = t.dir / "virtio.img"
        disk.write_bytes(raw)
        for name in ("port", "monitor", "console"):
            (t.dir / name).unlink(missing_ok=True)
        said = []
        threading.Thread(target=other_end, args=(t.dir, raw[:1000000], said), daemon=True).start()
        run = t.guest("amd64-virtio", *kernel.split(), "-nodefaults", "-serial", "stdio", "-drive", f"file={root},format=raw,if=virtio",
                      "-drive", f"file={disk},format=raw,if=none,id=d", "-device", f"virtio-blk-pci,drive=d,serial=doppel-7,{options}", "-device", "virtio-rng-pci" + packed,
                      "-monitor", f"unix:{t.dir}/monitor,server=on,wait=off", "-device", "virtio-balloon-pci,id=balloon" + packed, "-device", "virtio-serial-pci,id=vs" + packed,
                      "-chardev", f"file,id=con,path={t.dir}/console", "-device", "virtconsole,chardev=con,bus=vs.0", "-chardev",
                      f"socket,id=port,path={t.dir}/port,server=on,wait=off", "-device", "virtserialport,chardev=port,bus=vs.0,name=org.doppel.test",
                      append="quiet guest_quiet guest_run=mount+-t+ext4+/dev/vda+/mnt;cp+/mnt/check.sh+/tmp;sh+/tmp/check.sh").exited().never(*BAD)
        digest = hashlib.sha256(data).hexdigest()
        run.need(f"VIRTIO read {digest}", f"VIRTIO copy {digest}", "VIRTIO root file-system-of-the-test", "VIRTIO umount", "VIRTIO serial doppel-7",
                 f"VIRTIO disk {hashlib.sha256(raw).hexdigest()}", f"VIRTIO discarded {hashlib.sha256(bytes(4 << 20)).hexdigest()}", f"VIRTIO stream {hashlib.sha256(raw[:1000000]).hexdigest()}", "VIRTIO balloon is full", r"VIRTIO rng virtio_rng\.\d 64")
        check(said[0] == b"got hello\n", f"the guest answered {said}")
        check("on-the-console" in (t.dir / "console").read_text(), "nothing came to the console")
        check(subprocess.run(["/sbin/e2fsck", "-fn", str(root)], capture_output=True).returncode == 0, "the guest's file system is damaged")
        copy = subprocess.run(["/sbin/debugfs", "-R", "cat /copy", str(root)], capture_output=True, check=True).stdout
        check(copy == data, "the file that the guest wrote differs on the host")
        check(disk.read_bytes() == raw[:4 << 20] + bytes(4 << 20) + raw[8 << 20:], "the raw disk differs on the host")
        check(disk.stat().st_blocks * 512 < 13 << 20, "the discarded part still takes room")


def test_virtio_firmware(t):
    """SeaBIOS and GRUB boot from a virtio disk, without the legacy interface."""
    t.boot("-cpu", "pentium3", "-m", "256", "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-hda", t.scratch(),
           "-drive", f"file={GUESTS / 'pc-disk/disk.img'},format=raw,snapshot=on,if=none,id=d", "-device", "virtio-blk-pci,drive=d,disable-legacy=on,bootindex=1",
           "--wait-for", "Linux version", arch="i386").exited().need("Doppel i386 guest")  # the kernel says it on the screen first, then on the serial port


# --- many boots, two CPUs

END_STATE = "echo STATE-BEGINS; cat /proc/iomem /proc/ioports /proc/devices /proc/modules /proc/partitions; ls /dev; find /sys/devices -name uevent; awk '{print $1,$NF}' /proc/interrupts; echo STATE-ENDS"


def end_state(run):
    """What the guest reports of its machine at the end, and which kernel messages it printed: without times, addresses of
    the running kernel, measured rates, and in no order, for the kernel probes devices in parallel."""
    run.exited().need(*GOOD, r"STATE-ENDS\n").never(*BAD)
    report = run.text[run.text.rindex("STATE-BEGINS\n"):run.text.rindex("STATE-ENDS\n")]
    report = re.sub(r"0x[0-9a-f]{8,16}", "ADDRESS", report)  # /proc/modules
    said = {re.sub(r"\d+", "N", re.sub(r"0x[0-9a-f]+|\b[0-9a-f]{8,16}\b", "X", m)) for m in re.findall(r"^\[ *[0-9.]+\] (.*)", run.text, re.M)}
    said = {m for m in said if not re.search("random: |tsc|TSC|sched_clock|clocksource: |alibrat|APIC delta|PM-Timer running at invalid rate|raid|xor: |usec|msecs", m)}
    return sorted(said) + report.splitlines()


def same_boots(t, times):
    for name in ("i386-pc", "amd64-pc"):
        first = None
        for i in range(times):
            try:
                state = end_state(t.guest(name, "-drive", f"file={t.scratch()},format=raw,snapshot=on", append="nokaslr guest_run=" + END_STATE.replace(" ", "+")))
            except Failure as e:
                raise Failure(f"{name}, boot {i + 1}: {e}") from None
            first = first or state
            different = [f"- {x}" for x in first if x not in state] + [f"+ {x}" for x in state if x not in first]
            check(state == first, f"{name}, boot {i + 1} ends in another state than the first:\n" + "\n".join(different[:20]))
            check(len(state) > 300, f"{name}: a report of {len(state)} lines")


def test_two_boots(t):
    same_boots(t, 2)


def test_full_twenty_boots(t):
    same_boots(t, 20)


def thread_times(pid):
    """CPU time of each thread of a process, in ticks."""
    times = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
        times[task.name] = int(fields[11]) + int(fields[12])
    return times


def test_smp2_both_host_cpus(t):
    """Two guest processes keep two host threads busy, one process only one: CPU time of the threads, no measure of speed."""
    work = "sh -c 'i=40; while [ $i -gt 0 ]; do seq 1 40000 | sha256sum >/dev/null; i=$((i-1)); done'"
    script = f"echo ONE; taskset 1 {work}; echo TWO; taskset 1 {work} & taskset 2 {work}; wait; echo DONE"
    with Emulator(t.program, "-m", "256", "-smp", "2", "-no-reboot", "-kernel", GUESTS / "amd64-pc/vmlinuz", "-initrd", GUESTS / "amd64-pc/initrd.gz",
                  "-append", "console=ttyS0 quiet guest_quiet guest_end=halt guest_run=" + script.replace(" ", "+")) as m:
        marks = []
        for mark in ("ONE", "TWO", "DONE"):
            m.wait_for_serial(mark + "\r?\n", 600)
            marks.append(thread_times(m.process.pid))

        def second_share(a, b):
            used = sorted((b[k] - a.get(k, 0) for k in b), reverse=True)
            check(used[0] > 20, f"too little work to measure: {used} ticks")
            return used[1] / used[0], used
        alone, both = second_share(marks[0], marks[1]), second_share(marks[1], marks[2])
        check(alone[0] < 0.2, f"one process keeps two threads busy: {alone[1]} ticks")
        check(both[0] > 0.3, f"two processes do not keep two threads busy: {both[1]} ticks")
        m.process.terminate()
        m.process.wait(60)


sys.exit(run_tests("boot", globals(), Tester(sys.argv[1]), sys.argv[2:]))
