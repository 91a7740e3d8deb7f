#!/usr/bin/env python3
"""libvirt drives the emulator: tests/libvirt/run.py build/release/doppel [NAME...]; last line: N passed, N failed.

A libvirtd of its own, in session mode and without privileges (as root it becomes `nobody`), with everything it writes in a
temporary folder. Where it can't run, the tests say why and are skipped."""
import hashlib
import os
import pathlib
import pwd
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import GUESTS, Failure, check, run_tests, wait_until  # noqa: E402

DOMAIN = """<domain type='qemu'><name>one</name><memory unit='MiB'>256</memory><vcpu>2</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><kernel>{dir}/vmlinuz</kernel><initrd>{dir}/initrd.gz</initrd>
<cmdline>console=ttyS0 quiet guest_quiet guest_end=shell</cmdline></os>
<features><acpi/><apic/></features><on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
<devices><emulator>{dir}/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{dir}/disk.qcow2'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><target dev='hdc' bus='ide'/><readonly/></disk>
<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
<serial type='pty'/><console type='pty'/><video><model type='vga'/></video>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
</devices></domain>"""
DISK = ("<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{dir}/{file}'/>"
        "<target dev='vdb' bus='virtio'/><serial>second</serial></disk>")
CARD = "<interface type='user'><mac address='52:54:00:00:00:02'/><model type='e1000'/></interface>"


def why_not():
    """Why libvirtd can't run here; empty: it can."""
    for program in ("libvirtd", "virsh"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin"):
            return f"there is no {program} (apt-get install libvirt-daemon-driver-qemu libvirt-clients)"
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        return "there is no setpriv to leave root's rights with"
    if not (GUESTS / "amd64-plug/vmlinuz").exists():
        return "there is no guest amd64-plug (scripts/guests/make.sh amd64-plug)"
    return ""


class Tester:
    def __init__(self, program):
        self.daemon = None
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="lv.", dir="/tmp"))  # short: sockets' paths have 107 bytes
        d = self.dir
        for folder in ("run", "config/libvirt", "cache", "data"):
            (d / folder).mkdir(parents=True)
        (d / "config/libvirt/qemu.conf").write_text('stdio_handler = "file"\n')
        (d / "config/libvirt/libvirtd.conf").write_text(f'log_outputs = "3:file:{d}/libvirtd.log"\n')
        shutil.copy(program, d / "qemu-system-x86_64")  # that folder must be reachable for another user
        for name in ("vmlinuz", "initrd.gz"):
            shutil.copy(GUESTS / "amd64-plug" / name, d)
        self.data = os.urandom(4 << 20)
        (d / "disk.raw").write_bytes(self.data)
        subprocess.run([d / "qemu-system-x86_64", "--version"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", d / "disk.raw", d / "disk.qcow2"], check=True)
        self.second = os.urandom(2 << 20)
        (d / "second.raw").write_bytes(self.second)
        subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-V", "DISC", "-o", d / "disc.iso", d / "config"], check=True, capture_output=True)
        self.env = {**os.environ, "HOME": str(d), "XDG_RUNTIME_DIR": str(d / "run"), "XDG_CONFIG_HOME": str(d / "config"),
                    "XDG_CACHE_HOME": str(d / "cache"), "XDG_DATA_HOME": str(d / "data"), "LC_ALL": "C"}
        self.user = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for folder, _, names in os.walk(d):
                for path in (folder, *(os.path.join(folder, n) for n in names)):
                    os.chown(path, nobody.pw_uid, nobody.pw_gid)
            self.user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self.uri = f"qemu:///session?socket={d}/run/libvirt/libvirt-sock"
        self.daemon = subprocess.Popen([shutil.which("libvirtd", path=os.environ["PATH"] + ":/usr/sbin"), "-f", d / "config/libvirt/libvirtd.conf"],
                                       env=self.env, stdin=subprocess.DEVNULL, stdout=open(d / "daemon.out", "wb"), stderr=subprocess.STDOUT, **self.user)
        wait_until("libvirtd's socket", lambda: (d / "run/libvirt/libvirt-sock").exists() or self.daemon.poll() is not None, 60)
        check(self.daemon.poll() is None, "libvirtd ended: " + (d / "daemon.out").read_text())

    def virsh(self, *words, ok=True, timeout=120):
        p = subprocess.run(["virsh", "-q", "-c", self.uri, *map(str, words)], env=self.env, capture_output=True, text=True, timeout=timeout, **self.user)
        if ok and p.returncode:
            log = self.dir / "cache/libvirt/qemu/log/one.log"
            raise Failure(f"virsh {' '.join(map(str, words))}: {p.stderr}{log.read_text()[-2000:] if log.exists() else ''}")
        return p.stdout if ok else p.stdout + p.stderr

    def xml(self, text, **names):
        path = self.dir / "piece.xml"
        path.write_text(text.format(dir=self.dir, **names))
        path.chmod(0o644)
        return path

    def state(self):
        return self.virsh("domstate", "one").strip()

    def until_state(self, state, timeout=60):
        wait_until(f"the domain to be '{state}'", lambda: self.state() == state, timeout, 0.3)

    def close(self):
        if self.daemon and self.daemon.poll() is None:
            self.virsh("destroy", "one", ok=False)
            self.daemon.terminate()
            self.daemon.wait(30)
        shutil.rmtree(self.dir, ignore_errors=True)


class Console:
    """The guest's shell, through `virsh console`, which wants a terminal."""

    def __init__(self, t):
        self.master, slave = os.openpty()
        self.p = subprocess.Popen(["virsh", "-q", "-c", t.uri, "console", "one", "--force"], stdin=slave, stdout=slave, stderr=slave, env=t.env, **t.user)
        os.close(slave)
        self.text, self.commands = "", 0

    def wait(self, pattern, timeout=90, start=0):
        end = time.time() + timeout
        while not (m := re.search(pattern, self.text[start:])):
            if time.time() > end:
                raise Failure(f"no {pattern!r} on the console after {timeout} s:\n{self.text[-1500:]}")
            if select.select([self.master], [], [], 0.5)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace").replace("\r", "")
        return m

    def run(self, command):
        self.commands += 1
        n, start = self.commands, len(self.text)
        os.write(self.master, f"echo BEG\"\"IN{n}; {command}; echo EN\"\"D{n}\n".encode())
        return self.wait(rf"BEGIN{n}\n((?:.|\n)*?)END{n}\n", start=start)[1]

    def until(self, condition):
        said = self.run(f"i=0; while ! {{ {condition}; }} && [ $i -lt 300 ]; do busybox usleep 100000; i=$((i+1)); done; {{ {condition}; }} && echo ok")
        check("ok" in said, f"never in the guest: {condition}\n{self.text[-800:]}")

    def close(self):
        self.p.kill()  # while the domain runs, virsh does not end by SIGTERM
        self.p.wait()
        os.close(self.master)


def start(t):
    t.virsh("destroy", "one", ok=False)
    t.virsh("undefine", "one", ok=False)
    t.virsh("define", t.xml(DOMAIN))
    t.virsh("start", "one")
    console = Console(t)
    time.sleep(0.5)
    os.write(console.master, b"\n")
    console.wait(r"/ # ")
    return console


def test_life_of_a_domain(t):
    """Defined, started, listed, its console, its disk, card and memory, stopped and going on, shut down by the power button."""
    console = start(t)
    check(re.search(r"one\s+running", t.virsh("list")), t.virsh("list"))
    check("six times seven is 42" in console.run("echo six times seven is $((6*7))"), "the console")
    said = console.run("sha256sum /dev/vda; grep -c ^processor /proc/cpuinfo; cat /sys/class/net/*/address")
    check(hashlib.sha256(t.data).hexdigest() in said and "52:54:00:00:00:01" in said and "\n2\n" in said, said)
    xml = t.virsh("dumpxml", "one")
    check("<alias name='virtio-disk0'/>" in xml and "<source path='/dev/pts/" in xml, xml)
    check(str(t.dir / "disk.qcow2") in t.virsh("domblklist", "one"), "domblklist")
    check("Capacity:       4194304" in t.virsh("domblkinfo", "one", "vda"), t.virsh("domblkinfo", "one", "vda"))
    read = int(re.search(r"rd_bytes (\d+)", t.virsh("domblkstat", "one", "vda"))[1])
    check(read >= len(t.data), f"the guest read the disk, and {read} bytes are counted")
    check("52:54:00:00:00:01" in t.virsh("domiflist", "one"), "domiflist")
    wait_until("the guest's memory statistics", lambda: "unused" in t.virsh("dommemstat", "one"), 30)
    t.virsh("suspend", "one")
    check(t.state() == "paused", t.state())
    t.virsh("resume", "one")
    check(t.state() == "running", t.state())
    t.virsh("change-media", "one", "hdc", t.dir / "disc.iso", "--insert", "--live")
    check("disc.iso" in t.virsh("domblklist", "one"), "the medium")
    t.virsh("change-media", "one", "hdc", "--eject", "--live")
    t.virsh("screenshot", "one", t.dir / "run/shot")
    button = "$(sed -n '/Power Button/,/^$/s/.*\\(event[0-9]*\\).*/\\1/p' /proc/bus/input/devices)"
    console.run(f"exec 3</dev/input/{button}; (head -c 24 <&3 >/dev/null; poweroff -f) & true")  # open before it is pressed
    t.virsh("shutdown", "one")
    t.until_state("shut off")
    console.close()
    check("shut off" in t.virsh("list", "--all"), "list --all")


def test_destroy_and_reset(t):
    console = start(t)
    console.run("echo running")
    at = len(console.text)
    t.virsh("reset", "one")
    console.wait(r"/ # ", start=at)
    check(t.state() == "running", "after the reset")
    t.virsh("destroy", "one")
    check(t.state() == "shut off", "destroyed")
    console.close()
    t.virsh("start", "one")
    t.virsh("destroy", "one")


def test_attach_and_detach(t):
    """A disk and a card, in and out of the running domain, five times."""
    console = start(t)
    for n in range(5):
        t.virsh("attach-device", "one", t.xml(DISK, file="second.raw"), "--live")
        console.until("[ -b /dev/vdb ]")
        check(hashlib.sha256(t.second).hexdigest() in console.run("sha256sum /dev/vdb"), f"round {n}: another disk")
        t.virsh("attach-device", "one", t.xml(CARD), "--live")
        console.until("grep -q 52:54:00:00:00:02 /sys/class/net/*/address")
        check("second.raw" in t.virsh("domblklist", "one") and "00:02" in t.virsh("domiflist", "one"), "libvirt's lists")
        t.virsh("detach-disk", "one", "vdb", "--live")
        t.virsh("detach-interface", "one", "user", "--mac", "52:54:00:00:00:02", "--live")
        wait_until("libvirt to see them go", lambda: "second.raw" not in t.virsh("domblklist", "one") and "00:02" not in t.virsh("domiflist", "one"), 60)
        console.until("[ ! -b /dev/vdb ] && ! grep -q 52:54:00:00:00:02 /sys/class/net/*/address")
    t.virsh("destroy", "one")
    console.close()


def test_save_and_restore(t):
    """virsh save writes the machine to a file and ends it; virsh restore brings it back, with what was in its memory."""
    console = start(t)
    console.run("echo kept over the night > /tmp/kept; sha256sum /dev/vda > /tmp/sum")
    console.close()
    saved = t.dir / "data/saved"
    t.virsh("save", "one", saved)
    check(t.state() == "shut off" and saved.stat().st_size > 1 << 20, f"{t.state()}, {saved.stat().st_size} bytes")
    t.virsh("restore", saved)
    check(t.state() == "running", t.state())
    console = Console(t)
    time.sleep(0.5)
    os.write(console.master, b"\n")
    console.wait(r"/ # ")
    said = console.run("cat /tmp/kept /tmp/sum; sha256sum /dev/vda")
    check("kept over the night" in said and said.count(hashlib.sha256(t.data).hexdigest()) == 2, said)
    # Into libvirt's own place, and back at the next start.
    t.virsh("managedsave", "one")
    check(t.state() == "shut off", t.state())
    t.virsh("start", "one")
    check(t.state() == "running", t.state())
    t.virsh("destroy", "one")
    console.close()


def test_serial_port_to_a_file(t):
    """libvirt opens the file and passes its descriptor."""
    t.virsh("destroy", "one", ok=False)
    t.virsh("undefine", "one", ok=False)
    log = t.dir / "data/serial.log"
    pty = "<serial type='pty'/><console type='pty'/>"
    check(pty in DOMAIN, "the domain's serial port")
    t.virsh("define", t.xml(DOMAIN.replace(pty, "<serial type='file'><source path='{log}'/></serial>"), log=log))
    t.virsh("start", "one")
    wait_until("the guest's text in the file", lambda: log.exists() and b"/ # " in log.read_bytes(), 120, 0.5)
    t.virsh("destroy", "one")


def test_limits_of_a_disk(t):
    """<iotune>, and blkdeviotune of a running domain."""
    t.virsh("destroy", "one", ok=False)
    t.virsh("undefine", "one", ok=False)
    t.virsh("define", t.xml(DOMAIN.replace("<target dev='vda' bus='virtio'/>", "<target dev='vda' bus='virtio'/><iotune><total_bytes_sec>1048576</total_bytes_sec></iotune>")))
    t.virsh("start", "one")
    check(re.search(r"total_bytes_sec: 1048576", t.virsh("blkdeviotune", "one", "vda")), t.virsh("blkdeviotune", "one", "vda"))
    console = Console(t)
    time.sleep(0.5)
    os.write(console.master, b"\n")
    console.wait(r"/ # ")
    start_time = time.time()
    console.run("dd if=/dev/vda of=/dev/null bs=64k iflag=direct 2>/dev/null || dd if=/dev/vda of=/dev/null bs=64k")
    check(time.time() - start_time > 2.5, f"4 MiB at 1 MiB/s in {time.time() - start_time:.1f} s")
    t.virsh("blkdeviotune", "one", "vda", "--total-bytes-sec", 0, "--read-iops-sec", 500, "--live")
    said = t.virsh("blkdeviotune", "one", "vda")
    check(re.search(r"total_bytes_sec: 0", said) and re.search(r"read_iops_sec *: 500", said), said)
    t.virsh("destroy", "one")
    console.close()


def test_disks_of_other_kinds(t):
    """Each bus that libvirt knows for a disk of this board, and the words of caching."""
    virtio = "<driver name='qemu' type='qcow2'/><source file='{dir}/disk.qcow2'/><target dev='vda' bus='virtio'/>"
    for bus, name, driver in (("virtio", "vda", "cache='none' discard='unmap' io='native'"), ("virtio", "vda", "cache='writethrough'"), ("ide", "hda", ""), ("sata", "sda", ""),
                              ("scsi", "sda", "discard='unmap'")):
        text = DOMAIN.replace(virtio, f"<driver name='qemu' type='qcow2' {driver}/><source file='{{dir}}/disk.qcow2'/><target dev='{name}' bus='{bus}'/>")
        if bus == "scsi":
            text = text.replace("<video>", "<controller type='scsi' model='virtio-scsi'/><video>")
        t.virsh("destroy", "one", ok=False)
        t.virsh("undefine", "one", ok=False)
        t.virsh("define", t.xml(text))
        t.virsh("start", "one")
        check(t.state() == "running" and "disk.qcow2" in t.virsh("domblklist", "one"), f"{bus} {driver}")
    t.virsh("destroy", "one")


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: tests/libvirt/run.py DOPPEL [NAME...]")
    if reason := why_not():
        print(f"skipped: {reason}\n0 passed, 0 failed")
        return 0
    t = Tester(sys.argv[1])
    try:
        return run_tests("libvirt", globals(), t, sys.argv[2:])
    finally:
        t.close()


if __name__ == "__main__":
    sys.exit(main())
