#!/usr/bin/env python3
"""States of running machines: tests/state/run.py build/release/doppel [NAME...]"""
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import GUESTS, Emulator, Failure, check, run_tests, wait_until  # noqa: E402

MIB = 1 << 20
STEPS = 100
# Every step depends on the one before, in memory and on the disk; at the end all of the disk's blocks are read again.
WORK = ("echo 0 > /tmp/h; i=0; while [ $i -lt %d ]; do seq $i 3000 | cat /tmp/h - | sha256sum | cut -c1-64 > /tmp/g; mv /tmp/g /tmp/h; "
        "dd if=/tmp/h of=%s bs=512 seek=$((i*9)) conv=notrunc 2>/dev/null; echo STEP-$i; i=$((i- -1)); done; sync; "
        "echo 3 > /proc/sys/vm/drop_caches; j=0; while [ $j -lt %d ]; do dd if=%s bs=512 skip=$((j*9)) count=1 2>/dev/null | head -n 1; "
        "j=$((j- -1)); done | sha256sum | cut -c1-64 > /tmp/d; echo RESULT-$(cat /tmp/h)-$(cat /tmp/d)-END")


# Where a disk can be besides IDE and if=virtio: devices, and what Linux calls it.
CONTROLLERS = {
    "ahci": (["-device", "ahci,id=ahci", "-device", "ide-hd,drive=d,bus=ahci.0"], "/dev/sda"),
    "nvme": (["-device", "nvme,drive=d,serial=state"], "/dev/nvme0n1"),
    "virtio-scsi": (["-device", "virtio-scsi-pci,id=scsi0", "-device", "scsi-hd,drive=d,bus=scsi0.0"], "/dev/sda"),
}


def results(steps):
    h, blocks = b"0\n", b""
    for i in range(steps):
        h = hashlib.sha256(h + b"".join(b"%d\n" % n for n in range(i, 3001))).hexdigest().encode() + b"\n"
        blocks += h
    return f"RESULT-{h.decode().strip()}-{hashlib.sha256(blocks).hexdigest()}-END"


def compiled(steps):
    """What compile-steps.sh says: the programs that it makes and compiles, here."""
    mask, n, v, blocks = (1 << 64) - 1, 300, 1, b""
    for i in range(steps):
        for r in range(2000):
            k, x = v % n, v
            s, factor = (i + 3) * (k + 11) * 101, ((i * n + k) * 7919 + 1) * 2 + 1
            for j in range(r % 19 + 1):
                s = (s * factor + (x >> (j & 31))) & mask
                x = (x ^ (s << (k % 23 + 1))) & mask
                if s & (k % 7 + 1):
                    x = (x + j) & mask
            v = s ^ x
        blocks += b"%-512d" % v
    return f"RESULT-{v}-{hashlib.sha256(blocks).hexdigest()}-END"


def last_step(serial):
    return max(int(n) for n in re.findall(rb"STEP-(\d+)\r", serial))


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

    def work(self, device="/dev/sda", steps=STEPS, first="", compiler=False):
        if compiler:
            return f"console=ttyS0 quiet guest_quiet guest_run=compile-steps+{device}+{steps}"
        return ("console=ttyS0 quiet guest_quiet guest_run=" + first + WORK % (steps, device, steps, device)).replace(" ", "+").replace("+quiet", " quiet").replace(
            "+guest_", " guest_")

    def guest(self, *args, disk=None, interface="ide", steps=STEPS, memory=256, guest="amd64-pc", kind="qcow2", first="", writes=None, compiler=False):
        guest = "amd64-tcc" if compiler else guest
        if interface in CONTROLLERS:
            devices, device = CONTROLLERS[interface]
            drive = ["-drive", f"file={disk},if=none,id=d,format={kind}", *devices]
        else:
            device = {"ide": "/dev/sda", "virtio": "/dev/vda"}[interface]
            drive = ["-drive", f"file={disk},if={interface},format={kind}"] if disk else []
        return Emulator(self.program, "-m", memory, "-no-reboot", "-kernel", GUESTS / guest / "vmlinuz", "-initrd", GUESTS / guest / "initrd.gz",
                        "-append", self.work(writes or device, steps, first, compiler), *drive, *args)


def finishes(m, steps=STEPS, timeout=300, compiler=False):
    m.wait_for_serial(r"RESULT-\S+-END", timeout)
    got, wanted = re.search(rb"RESULT-\S+-END", m.serial())[0].decode(), compiled(steps) if compiler else results(steps)
    check(b"COMPILER-FAILED" not in m.serial(), "the compiler:\n" + m.serial().decode()[-1500:])
    check(got == wanted, f"the guest has computed {got}, not {wanted}")
    m.exited()


def savevm_once(t, at, *args, steps=STEPS, **kw):
    disk = t.disk("vm.qcow2")
    kw["steps"] = steps
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
        finishes(m, steps, compiler=kw.get("compiler", False))
        check(f"STEP-{at}\r\n".encode() not in m.serial(), "it began anew")
    status, text = t.img("check", disk)
    check(status == 0 and "No errors" in text, text)
    return took


def test_savevm(t):
    """Saved in the midst of work, powered off, loaded by another process: it goes on and ends right."""
    savevm_once(t, 20)


def test_savevm_compiler(t):
    """While a C compiler runs in the guest, whose programs and what they compute are checked."""
    savevm_once(t, 2, steps=8, compiler=True)


def test_full_savevm_compiler_20(t):
    for i in range(20):
        interface = ("ide", "virtio", "ahci", "nvme", "virtio-scsi")[i % 5]
        savevm_once(t, 2 + i, *(["-smp", "2"] if i % 2 else []), steps=28, interface=interface, compiler=True)


def test_savevm_smp(t):
    savevm_once(t, 20, "-smp", "2")


def malta(t, disk, *args, order="mipsel", steps=30, run=None):
    """A Malta board at work, its disk behind the PIIX4."""
    word = t.work("/dev/sda", steps) if run is None else f"console=ttyS0 quiet guest_quiet guest_run={run}"
    folder = GUESTS / f"{order}-malta"
    return Emulator(t.program, "-M", "malta", "-m", 128, "-no-reboot", "-kernel", folder / "vmlinux", "-initrd", folder / "initrd.gz", "-append", word,
                    "-drive", f"file={disk},if=ide,format=qcow2", *args, arch=order)


def test_savevm_malta(t):
    """A MIPS guest: in the midst of work, and asleep until its CPU's timer wakes it."""
    disk = t.disk("malta.qcow2")
    with malta(t, disk) as m:
        m.wait_for_serial(r"STEP-8\b")
        check(m.command("savevm here") == "", "savevm")
        m.wait_for_serial(r"STEP-11\b")
        m.monitor.quit()
        m.exited()
    with malta(t, disk, "-loadvm", "here") as m:
        finishes(m, 30)
        check(b"STEP-8\r\n" not in m.serial(), "it began anew")
    disk = t.disk("asleep.qcow2")
    ticks = "i=0;while+true;do+sleep+0.3;echo+TICK-$i;i=$((i-+-1));done"
    with malta(t, disk, run=ticks) as m:
        m.wait_for_serial(r"TICK-3\b")
        check(m.command("savevm here") == "", "savevm")
        m.monitor.quit()
        m.exited()
    for _ in range(3):
        with malta(t, disk, "-loadvm", "here", run=ticks) as m:
            m.wait_for_serial(r"TICK-8\b", 60)
            check(m.command("loadvm here") == "", "loadvm")
            before = len(m.serial())
            wait_until("the ticks again", lambda: b"TICK-7\r" in m.serial()[before:], 60)
            check(b"TICK-0\r" not in m.serial(), "it began anew")


def test_snapshot_malta(t):
    """`doppel snapshot` of a MIPS guest on a raw disk, killed and gone back to."""
    home = Home(t)
    for name in ("vmlinux", "initrd.gz"):
        shutil.copy(GUESTS / "mipsel-malta" / name, home.dir)
    home.options = ["-initrd", "initrd.gz", "-m", "128", "-no-reboot", "-append", t.work("/dev/sda", 30), "-drive", "file=disk.img,format=raw,if=ide"]
    with home.start(file="vmlinux", first=True) as r:
        r.wait_for(r"STEP-8\b")
        home.cli("snapshot", "save", "vmlinux", "one")
        frozen = home.hash()
        r.wait_for(r"STEP-11\b")
        r.process.kill()
        r.process.wait()
    with home.start("--restore", "one", file="vmlinux") as r:
        r.finishes(30)
        check(b"STEP-8\r\n" not in r.serial(), "it began anew")
    check(home.hash() == frozen, "the raw disk was written to after the snapshot")


def test_savevm_controllers(t):
    """In the midst of writing to each of the other disk controllers."""
    for controller in CONTROLLERS:
        savevm_once(t, 5, steps=30, interface=controller, guest="amd64-disk")


def test_savevm_share(t):
    """In the midst of writing to a folder of the host (9p); what the guest has open is open again."""
    folder = t.dir / "shared"
    folder.mkdir()
    share = ["-virtfs", f"local,path={folder},mount_tag=tag0,security_model=none"]
    savevm_once(t, 5, *share, steps=30, guest="amd64-share", interface="virtio",
                first="mount -t 9p -o trans=virtio,version=9p2000.L tag0 /mnt; exec 7>/mnt/open; (while sleep 0.1; do date >&7; done) & ", writes="/mnt/blocks")


def test_savevm_plugged(t):
    """With a disk that was plugged in while the guest ran: back in the same process; without it, or in another process without it, refused."""
    disk = t.disk("plugged.qcow2")
    drive = ["-drive", f"file={disk},if=none,id=extra,format=qcow2"]
    with t.guest(*drive, guest="amd64-plug", writes="/dev/vda", steps=40, first="echo WAITS; while [ ! -b /dev/vda ]; do sleep 1; done; ") as m:
        m.wait_for_serial("WAITS")
        check(m.command("device_add virtio-blk-pci,drive=extra,id=plugged") == "", "device_add")
        m.wait_for_serial(r"STEP-5\b")
        check(m.command("savevm here") == "", "savevm")
        step = last_step(m.serial()) + 2
        m.wait_for_serial(rf"STEP-{step + 2}\r")
        before = len(m.serial())
        check(m.command("loadvm here") == "", "loadvm")
        wait_until("the steps again", lambda: b"STEP-%d\r" % step in m.serial()[before:])
        finishes(m, 40)
    with t.guest(*drive, guest="amd64-plug", writes="/dev/vda", first="echo WAITS; sleep 1000; ") as m:
        m.wait_for_serial("WAITS")
        said = m.command("loadvm here")
        check(said.startswith("Error: ") and ("No block device" in said or "devices" in said), said)
        check("running" in m.command("info status"), "the machine goes on")
    with t.guest("-device", "virtio-blk-pci,drive=extra,id=plugged", "-loadvm", "here", *drive, guest="amd64-plug", writes="/dev/vda") as m:
        finishes(m, 40)


def test_full_savevm_controllers_20(t):
    for i in range(20):
        for controller in CONTROLLERS:
            savevm_once(t, 3 + 2 * i, *(["-smp", "2"] if i % 2 else []), interface=controller, guest="amd64-disk")


class Home:
    """A folder with a kernel, a raw disk and what `doppel run` leaves there; its commands."""

    def __init__(self, t, kind="raw", interface="ide", compiler=False, steps=STEPS):
        self.t = t
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=t.dir))
        self.env = dict(os.environ, XDG_RUNTIME_DIR=str(self.dir))
        self.compiler, self.steps = compiler, steps
        for name in ("vmlinuz", "initrd.gz"):
            shutil.copy(GUESTS / ("amd64-tcc" if compiler else "amd64-disk" if interface in CONTROLLERS else "amd64-pc") / name, self.dir)
        self.disk = self.dir / "disk.img"
        status, text = t.img("create", "-f", kind, self.disk, "64M")
        check(status == 0, text)
        devices, node = CONTROLLERS.get(interface, (None, "/dev/sda"))
        drive = ["-drive", f"file=disk.img,format={kind},if=none,id=d", *devices] if devices else ["-drive", f"file=disk.img,format={kind},if=ide"]
        self.options = ["-initrd", "initrd.gz", "-m", "256", "-no-reboot", "-append", t.work(node, steps, compiler=compiler), *drive]

    def cli(self, *args, status=0):
        p = subprocess.run([self.t.program, *map(str, args)], cwd=self.dir, env=self.env, capture_output=True, text=True)
        check(p.returncode == status, f"{args}: exit status {p.returncode}: {p.stdout}{p.stderr}")
        return p.stdout + p.stderr

    def start(self, *args, file="vmlinuz", first=False):
        return Run(self, file, *(self.options if first else []), *args)

    def hash(self, file=None):
        return hashlib.sha256((file or self.disk).read_bytes()).hexdigest()

    def layers(self):
        return sorted(f.name for f in (self.dir / "disk.img.snapshots").glob("layer-*"))


class Run:
    def __init__(self, home, file, *args):
        self.home = home
        self.file = pathlib.Path(tempfile.mkdtemp(dir=home.dir)) / "serial"
        self.process = subprocess.Popen([home.t.program, "run", *map(str, args), "-display", "none", "-serial", f"file:{self.file}", file], cwd=home.dir,
                                        env=home.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def serial(self):
        return self.file.read_bytes() if self.file.exists() else b""

    def wait_for(self, pattern, timeout=240, step=0.1):
        def there():
            if self.process.poll() is not None and not re.search(pattern.encode(), self.serial()):
                raise Failure(f"it ended without {pattern}: {self.process.stdout.read().decode()}")
            return re.search(pattern.encode(), self.serial())
        return wait_until(pattern, there, timeout, step)[0].decode()

    def finishes(self, steps=None):
        got, steps = self.wait_for(r"RESULT-\S+-END"), steps or self.home.steps
        wanted = compiled(steps) if self.home.compiler else results(steps)
        check(b"COMPILER-FAILED" not in self.serial(), "the compiler:\n" + self.serial().decode()[-1500:])
        check(got == wanted, f"the guest has computed {got}, not {wanted}")
        self.ends()

    def ends(self, status=0):
        code = self.process.wait(60)
        check(code == status, f"exit status {code}: {self.process.stdout.read().decode()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def snapshots_of_a_raw_disk(t, at, *more, **kw):
    home = Home(t, **kw)
    with home.start(*more, first=True) as r:
        r.wait_for(rf"STEP-{at}\b")
        home.cli("snapshot", "save", "vmlinuz", "one")
        frozen = home.hash()
        r.wait_for(rf"STEP-{at + 3}\b")
        home.cli("snapshot", "save", "--compress", "vmlinuz", "two")
        r.wait_for(rf"STEP-{at + 6}\b")
        r.process.kill()
        r.process.wait()
    for name in ("one", "two"):
        with home.start("--restore", name) as r:
            r.finishes()
            check(f"STEP-{at}\r\n".encode() not in r.serial(), "it began anew")
    check(home.hash() == frozen, "the raw disk was written to after the snapshot")
    return home


def test_snapshot_raw(t):
    """Two states of a machine with a raw disk, killed, gone back to both; the disk stays what it was to the bit."""
    home = snapshots_of_a_raw_disk(t, 10)
    check(home.cli("snapshot", "tree", "vmlinuz") == "one\n  two\n    * now\n", home.cli("snapshot", "tree", "vmlinuz"))
    check(re.search(r"^two\s+\S+ \S+\s+[\d.]+ MiB\s+00:", home.cli("snapshot", "list", "vmlinuz"), re.M), "list")
    rows = json.loads(home.cli("snapshot", "list", "--json", "vmlinuz"))
    check([(r["name"], r["parent"], r["memory"]) for r in rows] == [("one", "", "file"), ("two", "one", "compressed")], rows)
    check(home.cli("snapshot", "check", "vmlinuz") == "one: good\ntwo: good\n", "check")
    # Nobody writes to what others stand on.
    check("has snapshots that build on it" in home.cli("img", "resize", "disk.img", "128M", status=1), "img resize")
    check("already" in home.cli("snapshot", "save", "vmlinuz", "one", status=1), "a name twice")
    for name in ("../x", ".x", "", "layer-1.qcow2"):
        home.cli("snapshot", "save", "vmlinuz", name, status=2)
    home.cli("snapshot", "restore", "vmlinuz", "nope", status=1)
    home.cli("snapshot", "delete", "vmlinuz", "one")
    check(home.cli("snapshot", "tree", "vmlinuz") == "two\n  * now\n", "tree")
    with home.start("--restore", "two") as r:
        r.finishes()
    before = disk_bytes(home)
    home.cli("snapshot", "delete", "vmlinuz", "two")
    check(home.cli("snapshot", "list", "vmlinuz") == "there are no snapshots\n", "list")
    # What nobody names has gone into the layer that the machine writes to.
    check(len(home.layers()) == 1, f"layers that could be merged: {home.layers()}")
    check(disk_bytes(home) == before, "the disk has changed with the snapshots' end")
    layer = home.dir / "disk.img.snapshots" / home.layers()[0]
    status, text = t.img("check", layer)
    check(status == 0 and json.loads(t.img("info", "--output=json", layer)[1])["full-backing-filename"].endswith("/disk.img"), text)


def disk_bytes(home):
    """A hash of the disk as the machine has it now."""
    layer, raw = home.dir / "disk.img.snapshots" / (home.dir / "disk.img.snapshots" / "current").read_text().strip(), home.dir / "whole.raw"
    status, text = home.t.img("convert", "-O", "raw", layer, raw)
    check(status == 0, text)
    found = home.hash(raw)
    raw.unlink()
    return found


def test_snapshot_controllers(t):
    snapshots_of_a_raw_disk(t, 5, interface="nvme")


def test_full_snapshot_controllers(t):
    for controller in CONTROLLERS:
        for i in range(5):
            snapshots_of_a_raw_disk(t, 3 + 4 * i, interface=controller)


def test_merge_branches(t):
    """Layers are merged where nobody needs them apart: not those that two stand on, nor those that are in use."""
    home = Home(t)
    with home.start(first=True) as r:
        for i, name in enumerate(("a", "b", "c")):
            r.wait_for(rf"STEP-{5 + 3 * i}\b")
            home.cli("snapshot", "save", "vmlinuz", name)
        home.cli("snapshot", "delete", "vmlinuz", "b")  # its layer is in use by the machine
        check(len(home.layers()) == 3, home.layers())
        r.process.kill()
        r.process.wait()
    with home.start("--restore", "a") as r:  # a second branch
        r.wait_for(r"STEP-\d+\b")
        r.process.kill()
        r.process.wait()
    home.cli("snapshot", "save", "vmlinuz", "d")
    for name in ("c", "d"):
        with home.start("--restore", name) as r:
            if name == "c":
                r.finishes()
            else:
                r.wait_for("GUEST|STEP")
        home.cli("snapshot", "check", "vmlinuz")
    for name in ("a", "c", "d"):
        home.cli("snapshot", "delete", "vmlinuz", name)
    check(len(home.layers()) == 1, home.layers())


def test_snapshot_restore_while_it_runs(t):
    home = Home(t, "qcow2")
    with home.start("-smp", "2", first=True) as r:
        r.wait_for(r"STEP-10\b")
        home.cli("snapshot", "save", "vmlinuz", "s")
        step = last_step(r.serial()) + 5
        for _ in range(3):
            r.wait_for(rf"STEP-{step + 5}\r")
            before = len(r.serial())
            home.cli("snapshot", "restore", "vmlinuz", "s")
            wait_until("the steps again", lambda: b"STEP-%d\r" % step in r.serial()[before:])
        check(len(home.layers()) == 1, f"layers that nobody needs: {home.layers()}")
        r.finishes()
    # A machine that is off goes on from there at its next start.
    check("goes on from there" in home.cli("snapshot", "restore", "vmlinuz", "s"), "restore")
    with home.start() as r:
        r.finishes()
        check(b"STEP-5\r" not in r.serial(), "it began anew")


def test_damaged_snapshot(t):
    """Cut or changed files: an error that says so, and the disks stay as they were."""
    home = Home(t)
    with home.start(first=True) as r:
        r.wait_for(r"STEP-5\b")
        home.cli("snapshot", "save", "vmlinuz", "s")
        r.process.kill()
    place = home.dir / "vmlinuz.snapshots" / "s"
    state, ram, record = (place / n for n in ("state", "ram", "snapshot.json"))
    good = {f: f.read_bytes() for f in (state, record)}
    current = (home.dir / "disk.img.snapshots" / "current").read_text()

    def refused(pattern):
        with home.start("--restore", "s") as r:
            said = r.process.communicate(timeout=60)[0].decode()
            check(r.process.returncode == 1 and re.search(pattern, said), f"{pattern!r}: exit status {r.process.returncode}: {said}")
        check((home.dir / "disk.img.snapshots" / "current").read_text() == current, "the disk's layer has changed")
    for length in (0, 10, 100, len(good[state]) // 2, len(good[state]) - 1):
        state.write_bytes(good[state][:length])
        refused(r"holds no state|is damaged")
    for at in (3, 9, 20, 60, 1000, len(good[state]) - 5):
        state.write_bytes(good[state][:at] + bytes([good[state][at] ^ 0x10]) + good[state][at + 1:])
        refused(r"holds no state|is damaged|has version")
    state.write_bytes(good[state])
    for text in (b"", b"{", b"[]", b"{\"version\": 9}", good[record].replace(b'"file",', b'"cloud",')):
        record.write_bytes(text)
        refused(r"snapshot")
    record.write_bytes(good[record])
    size = ram.stat().st_size
    os.truncate(ram, size - 4096)
    refused(r"has \d+ bytes, the machine \d+")
    os.truncate(ram, size)
    check("is damaged" in home.cli("snapshot", "check", "vmlinuz", status=1), "check of the memory")


def test_snapshot_killed(t):
    """Killed in the midst of saving: no half snapshot, and the machine's disk is in order."""
    home = Home(t, "qcow2")
    for i in range(4):
        with home.start(*([] if i else home.options)) as r:
            r.wait_for(r"STEP-3\b") if i == 0 else time.sleep(0.5)
            p = subprocess.Popen([t.program, "snapshot", "save", "vmlinuz", f"s{i}"], cwd=home.dir, env=home.env, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
            time.sleep(0.03 * i)
            r.process.kill()
            p.wait()
        for row in json.loads(home.cli("snapshot", "list", "--json", "vmlinuz")):
            check("good" in home.cli("snapshot", "check", "vmlinuz", row["name"]), row)
        current = home.dir / "disk.img.snapshots" / "current"
        if current.exists():
            status, text = t.img("check", "-r", "leaks", current.parent / current.read_text().strip())
            check(status in (0, 3), text)


def test_clone(t):
    """Of a running machine: both go on, each with its own disk."""
    home = Home(t)
    with home.start(first=True) as r:
        r.wait_for(r"STEP-10\b")
        check("goes on from here" in home.cli("clone", "vmlinuz", "new.qcow2"), "clone")
        home.cli("clone", "vmlinuz", "new.qcow2", status=1)
        home.cli("snapshot", "save", "vmlinuz", "x")
        with home.start(file="new.qcow2") as c:
            c.finishes()
            check(b"STEP-5\r" not in c.serial(), "the clone began anew")
        r.finishes()
    frozen = home.hash()
    # It is a machine of its own: with its own snapshots, and started anew the next time.
    with home.start(file="new.qcow2") as c:
        c.wait_for(r"STEP-5\b")
        home.cli("snapshot", "save", "new", "of-clone")
        check("of-clone\n" in home.cli("snapshot", "tree", "new.qcow2"), "tree")
        home.cli("clone", "new", "newer.qcow2")
        c.finishes()
    with home.start(file="newer.qcow2") as c:
        c.finishes()
    check(home.hash() == frozen, "a clone has written to the first disk")
    with home.start("--restore", "of-clone", file="new.qcow2") as c:
        c.wait_for(r"STEP-9\d\b")
    # The original's layers stay while a clone stands on them.
    home.cli("snapshot", "delete", "vmlinuz", "x")
    with home.start(file="new.qcow2") as c:
        c.wait_for(r"STEP-2\b")


def test_keep(t):
    """A throwaway run that is kept after all; the disk stays as it was to the bit, after kill -9 too."""
    home = Home(t)
    before = home.hash()
    with home.start("--throwaway", first=True) as r:
        r.wait_for(r"STEP-20\b")
        r.process.kill()
        r.process.wait()
    check(home.hash() == before and not home.layers(), "after kill -9")
    with home.start("--throwaway", "--keep", "done", first=True) as r:
        r.finishes()
    check(home.hash() == before, "the base after --keep")
    check("disks only" in home.cli("snapshot", "list", "vmlinuz"), "the guest had switched itself off")
    with home.start("--throwaway", "--keep", "half", first=True) as r:
        r.wait_for(r"STEP-20\b")
        r.process.terminate()
        r.ends()
    check(home.hash() == before, "the base after --keep in mid-work")
    with home.start("--restore", "half") as r:
        r.finishes()
    check(home.hash() == before, "the base after going on")
    home.cli("run", "--keep", "x", "vmlinuz", status=2)
    # What was kept first is there: the blocks that the guest wrote.
    record = json.loads((home.dir / "vmlinuz.snapshots" / "done" / "snapshot.json").read_text())
    layer = home.dir / "vmlinuz.snapshots" / record["disks"][0]["file"]
    status, text = t.img("dd", "-O", "raw", "bs=512", "skip=0", "count=1", f"if={layer}", f"of={home.dir}/block")
    check(status == 0 and re.match(rb"[0-9a-f]{64}\n", (home.dir / "block").read_bytes()), text)


def test_bootable_disk(t):
    """The machine is its disk: snapshots of it off and running, going back to both; the file stays what it was."""
    home = Home(t)
    shutil.copy(GUESTS / "pc-disk/disk.img", home.disk)
    options = ["-cpu", "pentium3", "-m", "256", "-no-reboot"]
    home.cli("snapshot", "save", "disk.img", "clean")
    frozen = home.hash()
    with home.start(*options, file="disk.img") as r:
        r.wait_for("GUEST-OK")
        r.ends()
    with home.start(*options, file="disk.img") as r:
        r.wait_for("GUEST-UP")
        home.cli("snapshot", "save", "disk.img", "up")
        r.process.kill()
        r.process.wait()
    check(home.cli("snapshot", "tree", "disk.img") == "clean (disks only)\n  up\n    * now\n", home.cli("snapshot", "tree", "disk.img"))
    with home.start("--restore", "up", file="disk.img") as r:
        r.wait_for("GUEST-OK")
        check(b"GUEST-UP" not in r.serial(), "it began anew")
        r.ends()
    home.cli("snapshot", "restore", "disk.img", "clean")
    check("* now" in home.cli("snapshot", "tree", "disk.img").split("\n")[1], "tree")
    with home.start(*options, file="disk.img") as r:
        r.wait_for("GUEST-OK")
        r.ends()
    check(home.hash() == frozen, "the disk was written to")
    check("has snapshots that build on it" in subprocess.run([t.program, "qemu-system-i386", "-hda", home.disk], capture_output=True, text=True).stderr, "-hda")


STORED = pathlib.Path(__file__).resolve().parent / "stored"


def counter(folder):
    """The firmware of counter.s, and a floppy that nobody reads."""
    o = folder / "counter.o"
    subprocess.run(["as", "--32", "-o", o, pathlib.Path(__file__).resolve().parent / "counter.s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0", "--oformat", "binary", "-o", folder / "counter.bin", o], check=True)
    (folder / "counter.img").write_bytes(bytes(510) + b"\x55\xaa" + bytes(1474560 - 512))


def test_stored_snapshot(t):
    """A snapshot that an earlier build has saved, at a count of more than 0x10, goes on in this one. Made anew by
    DOPPEL_MAKE_STORED=1, only when the format or the board has changed on purpose."""
    home = Home(t)
    counter(home.dir)
    folder = home.dir / "counter.img.snapshots"
    if os.environ.get("DOPPEL_MAKE_STORED"):
        with home.start("-m", "2", "-bios", "counter.bin", "-vga", "none", "-nic", "none", file="counter.img") as r:
            r.wait_for("COUNT 001[1-9]")
            home.cli("snapshot", "save", "--compress", "counter.img", "stored")
        shutil.rmtree(STORED, ignore_errors=True)
        shutil.copytree(folder / "stored", STORED)
        record = json.loads((STORED / "snapshot.json").read_text())
        record["directory"] = ""
        at = record["arguments"].index("-serial")
        del record["arguments"][at:at + 2]
        (STORED / "snapshot.json").write_text(json.dumps(record, indent=1) + "\n")
        return
    folder.mkdir()
    shutil.copytree(STORED, folder / "stored")
    with home.start("--restore", "stored", file="counter.img") as r:
        r.wait_for("COUNT 002[0-9]", 60)
        counts = [int(n, 16) for n in re.findall(rb"COUNT ([0-9A-F]{4})\n", r.serial())]
        check(0x11 < counts[0] <= 0x1b and counts == list(range(counts[0], counts[0] + len(counts))), counts)


def test_full_snapshot_raw_20(t):
    for i in range(20):
        snapshots_of_a_raw_disk(t, 3 + 2 * i, *(["-smp", "2"] if i % 2 else []))


def test_full_snapshot_compiler_20(t):
    for i in range(20):
        interface = ("ide", "ahci", "nvme", "virtio-scsi")[i % 4]
        snapshots_of_a_raw_disk(t, 2 + i, *(["-smp", "2"] if i % 2 else []), interface=interface, compiler=True, steps=30)


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
        step = last_step(m.serial()) + 5
        for _ in range(2):
            m.wait_for_serial(rf"STEP-{step + 5}\r")
            before = len(m.serial())
            check(m.command("loadvm a") == "" and m.command("info status") == "VM status: running\n", "loadvm")
            wait_until("the steps again", lambda: b"STEP-%d\r" % step in m.serial()[before:])
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


def refused(t, text, *args, disk, memory=256):
    p = subprocess.run([t.program, "qemu-system-x86_64", "-display", "none", "-monitor", "null", "-m", str(memory), "-kernel", GUESTS / "amd64-pc/vmlinuz",
                        "-drive", f"file={disk},format=qcow2", *args], capture_output=True, text=True, timeout=120)
    check(p.returncode == 1 and re.search(text, p.stderr), f"{text!r}: exit status {p.returncode}: {p.stderr}")


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
