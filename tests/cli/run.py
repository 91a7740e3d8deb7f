#!/usr/bin/env python3
"""The command line, the monitor, the screen and the debugger: tests/cli/run.py build/release/doppel [NAME...]"""
import ctypes
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import docs_examples  # noqa: E402
from harness import GUESTS, ROOT, Emulator, Failure, Monitor, check, run_tests, wait_until  # noqa: E402


class Tester:
    def __init__(self, program):
        self.program = str(pathlib.Path(program).resolve())
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="doppel-cli."))

    def run(self, *args, timeout=60, stdin=None):
        p = subprocess.run([self.program, *map(str, args)], capture_output=True, timeout=timeout, input=stdin, cwd=self.dir)
        return p.returncode, p.stdout.decode(errors="replace").replace("\r", ""), p.stderr.decode(errors="replace")

    def qemu(self, *args, **kw):
        return self.run("qemu-system-x86_64", *args, **kw)

    def fails(self, args, status, *patterns):
        code, out, err = self.qemu("-display", "none", *args, timeout=30)
        check(code == status, f"{args}: exit status {code}, expected {status}: {err}")
        check(len(err.strip().splitlines()) == 1, f"{args}: not one line: {err!r}")
        for p in patterns:
            check(re.search(p, err), f"{args}: no {p!r} in {err!r}")

    def start(self, *args, arch="x86_64"):
        return subprocess.Popen([self.program, f"qemu-system-{arch}", *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.dir)

    def boot_sector(self):
        return self.sector("floppy", "tests/boot/boot_sector.s")

    def sector(self, name, source):
        image = self.dir / f"{name}.img"
        if not image.exists():
            o, b = self.dir / f"{name}.o", self.dir / f"{name}.bin"
            subprocess.run(["as", "--32", "-o", o, ROOT / source], check=True)
            subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", b, o], check=True)
            image.write_bytes(b.read_bytes().ljust(1474560, b"\0"))
        return image


def test_help_and_version(t):
    code, out, _ = t.qemu("--version")
    check(code == 0 and re.match(r"QEMU emulator version (\d+)\.(\d+)\.(\d+) \(Doppel", out), out)
    code, out, _ = t.qemu("-help")
    check(code == 0 and "-kernel FILE" in out, "help")
    for option, word in (("-cpu", "qemu64"), ("-machine", "pc"), ("-d", "in_asm"), ("-accel", "tcg")):
        code, out, _ = t.qemu(option, "help")
        check(code == 0 and word in out, f"{option} help: {out}")
    code, _, err = t.run()
    check(code == 2 and "usage" in err, "no command")


def test_doctor(t):
    """Each line is a verdict; what is missing has a fix; the firmware is the one that runs use."""
    code, out, _ = t.run("doctor")
    check(code == 0 and out.endswith("Guests run on this host.\n"), out)
    for words in ("translator", "CPU", "of memory are free", "bios-256k.bin", "efi-e1000.rom", "window", "/dev/net/tun", "port 1234", "seccomp", "Landlock"):
        check(words in out, f"nothing of {words}: {out}")
    verdicts = [line for line in out.splitlines() if line.startswith(("ok    ", "note  ", "no    "))]
    check(len(verdicts) >= 20 and all(line.startswith("ok") or "; " in line for line in verdicts), out)
    holder = socket.create_server(("127.0.0.1", 0)) if socket.socket().connect_ex(("127.0.0.1", 1234)) == 0 else socket.create_server(("127.0.0.1", 1234))
    out = t.run("doctor")[1]
    check(re.search(r"note  port 1234 for -s \(debugger\) is taken by .*; port \d+ is free", out), out)
    holder.close()


def test_caches_of_a_disk(t):
    """The sizes of a qcow2 image's caches: wrong ones are told, a disk boots with the least of them."""
    disk = t.dir / "caches.qcow2"
    code, _, err = t.run("img", "convert", "-f", "raw", "-O", "qcow2", t.boot_sector(), disk)
    check(code == 0, err)
    t.fails(["-drive", f"file={disk},cache-size=1M,l2-cache-size=2M"], 1, "l2-cache-size may not exceed cache-size")
    t.fails(["-drive", f"file={t.boot_sector()},format=raw,l2-cache-size=2M"], 1, "Block format 'raw' does not support the option 'l2-cache-size'")
    t.fails(["-blockdev", f"qcow2,node-name=n,file.filename={disk},l2-cache-entry-size=100", "-device", "ide-hd,drive=n"], 1, "L2 cache entry size must be")
    t.fails(["-drive", f"file={disk},cache-size=large"], 1, "large")
    for sizes in ("l2-cache-size=0,refcount-cache-size=0,l2-cache-entry-size=512,cache-clean-interval=1", "cache-size=64k,snapshot=on"):
        code, out, err = t.qemu("-display", "none", "-serial", "stdio", "-monitor", "none", "-drive", f"file={disk},if=floppy,{sizes}", "-device",
                                "isa-debug-exit,iobase=0x501,iosize=1")
        check(code == 0x55 and "SECOND-SECTOR-OK" in out, f"{sizes}: {code} {out} {err}")


def test_bad_input(t):
    junk = t.dir / "junk"
    junk.write_bytes(b"this is no kernel" * 100)
    t.fails(["-kernel", "/nonexistent"], 1, "/nonexistent")
    t.fails(["-kernel", junk], 1, "junk", "kernel")
    t.fails(["-kernle", "x"], 2, "unknown option", "did you mean '-kernel'")
    t.fails(["-kernel"], 2, "needs an argument")
    t.fails(["-device", "nosuchthing"], 1, "nosuchthing", "-device help")
    t.fails(["-device", "virtio-gpu-pci"], 1, "'virtio-gpu-pci' is not built", "-vga std")
    t.fails(["-device", "e1000e"], 1, "'e1000e' is not built", "use e1000")
    t.fails(["-device", "isa-debug-exi"], 1, "did you mean 'isa-debug-exit'")
    t.fails(["-device", "isa-debug-exit,iobse=1"], 1, "did you mean 'iobase'")
    t.fails(["-fw_cfg", "name=opt/x"], 1, "file=", "string=")
    t.fails(["-stop-at", "100"], 1, "-icount")
    t.fails(["-icount", "shift=3", "-stop-at", "1.x"], 1, "1.x", "1250.375")
    t.fails(["-smp", "2", "-icount", "shift=3"], 1, "-icount", "-smp 1")
    t.fails(["-kernel", t.dir], 1, "folder")
    t.fails(["-kernel", GUESTS / "amd64-pc/vmlinuz", "-initrd", "/nonexistent"], 1, "initrd", "/nonexistent")
    t.fails(["-cpu", "qemu64,+sse9"], 1, "sse9", "did you mean")
    t.fails(["-display", "vnc"], 1, "vnc", "sdl")
    t.fails(["-display", "vcn"], 1, "no display 'vcn'", "did you mean 'vnc'", "not built yet")
    t.fails(["-display", "sld"], 1, "did you mean 'sdl'\\?\\)")
    t.fails(["-vga", "vmware"], 1, "'vmware' is not built yet", "std")
    t.fails(["-vga", "cirus"], 1, "no display adapter 'cirus'", "did you mean 'cirrus'")
    t.fails(["-vga", "xyzzy"], 1, "no display adapter 'xyzzy'", "use std or cirrus or none")
    t.fails(["-M", "q36"], 1, "no board 'q36'", "did you mean 'q35'", "not built yet: use pc")
    t.fails(["-M", "pc-q35-8.2"], 1, "'q35' is not built yet", "use pc")
    t.fails(["-M", "pc,vmport=maybe"], 1, "vmport=maybe", "=on or .*=off")
    t.fails(["-rtc", "base=yesterday"], 1, "yesterday", "base=utc")
    t.fails(["-rtc", "clock=sun"], 1, "clock=sun", "clock=host")
    t.fails(["-chardev", "sokcet,id=c"], 1, "unknown character device 'sokcet'")
    t.fails(["-chardev", "null"], 1, "has no id")
    t.fails(["-chardev", "file,id=c"], 1, "needs path=")
    t.fails(["-chardev", "null,id=c,mux=perhaps"], 1, "use on or off")
    t.fails(["-accel", "kvm"], 1, "kvm", "tcg")
    t.fails(["-uuid", "x"], 1, "UUID")
    t.fails(["-cpu", "qemu65"], 1, "qemu65", "qemu64")
    t.fails(["-cpu", "qemu64,+nosuchflag"], 1, "nosuchflag")
    t.fails(["-M", "pd"], 1, "pd")
    t.fails(["-m", "1000000G"], 1, "memory|RAM|large")
    t.fails(["-m", "abc"], 1, "not a size")
    t.fails(["-smp", "0"], 1, "-smp")
    t.fails(["-bios", "/nonexistent.bin"], 1, "nonexistent.bin")
    t.fails(["-hda", "/nonexistent.img"], 1, "nonexistent.img")
    t.fails(["-hda", t.dir], 1, "folder|directory")
    t.fails(["-netdev", "user"], 1, "id=")
    t.fails(["-netdev", "vde,id=n"], 1, "vde", "not built")
    t.fails(["-nic", "user,hostfwd=tcp:22"], 1, "port forwarding rule")
    t.fails(["-nic", "user,model=e1001"], 1, "e1001", "e1000")
    t.fails(["-nic", "user,mac=52:54:00"], 1, "MAC address")
    t.fails(["-device", "e1000,netdev=gone"], 1, "no network back end 'gone'")
    t.fails(["-netdev", "user,id=n", "-device", "e1000,netdev=n", "-device", "e1000,netdev=n"], 1, "two cards")
    t.fails(["-device", "e1000,colour=red"], 1, "colour")
    t.fails(["-device", "e1000,addr=1"], 1, "addr=1", "taken")
    t.fails(["-object", "iothread,id=r"], 1, "iothread")
    t.fails(["-object", "rng-random,id=r,filename=/etc/passwd"], 1, "filename=/etc/passwd")
    t.fails(["-nic", "none", "-device", "virtio-rng-pci,rng=r"], 1, "there is no object 'r'")
    t.fails(["-nic", "none", "-device", "virtio-rng-pci,disable-legacy=on,disable-modern=on"], 1, "leave nothing")
    t.fails(["-nic", "none", "-device", "virtserialport,name=x"], 1, "virtio-serial-pci")
    t.fails(["-nic", "none", "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=c"], 1, "there is no chardev 'c'")
    t.fails(["-nic", "none", "-device", "virtio-blk-pci"], 1, "needs a drive")
    t.fails(["-nic", "none", "-device", "virtio-rng-pci,ats=on"], 1, "ats=on is not built yet")
    t.fails(["-append", "x"], 1, "-kernel")
    t.fails(["-drive", f"file={junk},fromat=raw"], 1, "fromat", "format")
    t.fails(["-d", "in_asn"], 1, "in_asn")
    t.fails(["-gdb", "tcp::99999999"], 1, "99999999")
    t.fails(["-serial", "tpc::1"], 1, "tpc")
    qcow2 = t.dir / "x.qcow2"
    qcow2.write_bytes(b"QFI\xfb" + bytes(600))
    t.fails(["-hda", qcow2], 1, "qcow2", "version")


def test_firmware_missing(t):
    t.fails(["-bios", "no-such-firmware.bin"], 1, "no-such-firmware.bin", "check the name")
    # The whole search, with the folders of the packages hidden from this one process.
    hide = "mount -t tmpfs none /usr/share/seabios && mount -t tmpfs none /usr/share/qemu && exec \"$0\" \"$@\""
    unshare = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    p = subprocess.run([*unshare, "sh", "-c", hide, t.program, "qemu-system-x86_64", "-display", "none"], capture_output=True, timeout=60)
    err = p.stderr.decode()
    check(p.returncode == 1 and len(err.splitlines()) == 1 and "bios-256k.bin" in err and "Debian package seabios" in err, f"{p.returncode}: {err}")


def test_lists(t):
    """What there is to choose from, and that each of it can be chosen."""
    for what, option, word in (("cpus", "-cpu", "Nehalem"), ("machines", "-machine", "pc"), ("devices", "-device", "isa-debug-exit")):
        code, listed, _ = t.run("list", what)
        code2, helped, _ = t.qemu(option, "help")
        check(code == code2 == 0 and listed == helped and word in listed, f"list {what}: {listed}\n{option} help: {helped}")
    code, out, _ = t.qemu("-device", "ide-hd,help")
    check(code == 0 and "drive=" in out, out)
    code, out, _ = t.run("list", "cpus")
    models = re.findall(r"^x86 (\S+)", out, re.M) or re.findall(r"^\s+(\S+)", out, re.M)
    for model in ("486", "pentium", "pentium3", "qemu32", "qemu64", "Nehalem", "max"):
        check(model in models, f"no {model} in {models}")
        code, out, err = t.qemu("-display", "none", "-serial", "stdio", "-monitor", "none", "-cpu", model, "-fda", t.boot_sector(), "-device", "isa-debug-exit,iobase=0x501,iosize=1")
        check(code == 0x55 and "SECOND-SECTOR-OK" in out, f"-cpu {model}: {code} {out} {err}")
    t.fails(["-M", "virt"], 1, "virt", "-machine help")
    check(t.run("list", "gusts")[0] == 2, "list gusts")


def test_floppy(t):
    code, out, err = t.qemu("-display", "none", "-serial", "stdio", "-monitor", "none", "-fda", t.boot_sector(), "-device", "isa-debug-exit,iobase=0x501,iosize=1")
    check(code == 0x55, f"exit status {code}: {out} {err}")
    check("FLOPPY-BOOT-OK" in out and "SECOND-SECTOR-OK" in out, out)


def test_run_detects(t):
    code, out, _ = t.run("explain", t.boot_sector())
    check(code == 0 and "floppy" in out and "-fda" in out, out)
    code, out, _ = t.run("explain", GUESTS / "amd64-pc/vmlinuz")
    check(code == 0 and "x86-64" in out and "-kernel" in out, out)
    code, _, err = t.run("run", "/nonexistent")
    check(code == 1 and "/nonexistent" in err, err)


def test_qcow2_disk(t):
    """A disk in a qcow2 image boots; its overlay too; thrown away, the image stays as it is, bit for bit."""
    base, top = t.dir / "disk.qcow2", t.dir / "top.qcow2"
    for args in (["convert", "-f", "raw", "-O", "qcow2", t.boot_sector(), base], ["create", "-f", "qcow2", "-b", base, "-F", "qcow2", top]):
        code, _, err = t.run("img", *args)
        check(code == 0, err)
    before = base.read_bytes(), top.read_bytes()
    code, out, _ = t.run("explain", top)
    check(code == 0 and "format=qcow2" in out, out)
    for extra in ([], ["--throwaway"], ["-snapshot"]):
        code, _, err = t.run("run", top, "-display", "none", "--wait-for", "SECOND-SECTOR-OK", *extra)
        check(code == 0, err)
    check((base.read_bytes(), top.read_bytes()) == before, "an image changed though nothing was written")
    t.fails(["-drive", f"file={t.boot_sector()},format=qcow2"], 1, "no usable qcow2 image")


def test_wait_for(t):
    code, _, err = t.run("run", t.boot_sector(), "-display", "none", "--wait-for", "SECOND-SECTOR-OK")
    check(code == 0, err)
    code, _, err = t.run("run", t.boot_sector(), "-display", "none", "--wait-for", "NEVER-COMES", "--wait-timeout", "4")
    check(code == 1 and "SECOND-SECTOR-OK" in err, err)


def test_network(t):
    """Cards and back ends by option; forwardings and cables by the monitor; a taken port names its holder."""
    code, out, _ = t.qemu("-nic", "user,model=help")
    check(code == 0 and "e1000" in out, out)
    code, out, _ = t.qemu("-nic", "help")
    check(code == 0 and "dgram" in out and "rtl8139" in out, out)
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    t.fails(["-nic", f"user,hostfwd=tcp::{port}-:22"], 1, f"pid {os.getpid()}", "is free")
    t.fails(["-monitor", f"tcp::{port},server=on,wait=off"], 1, f"pid {os.getpid()}", "is free")
    t.fails(["-netdev", "usr,id=n"], 1, "did you mean 'user'?")
    t.fails(["-nic", "user,hostfdw=tcp::0-:22"], 1, "did you mean 'hostfwd'?")
    path = t.dir / "net.sock"
    p = t.start("-display", "none", "-monitor", f"unix:{path},server=on,wait=off", "-fda", t.boot_sector(),
                "-nic", "user,id=n0,mac=52:54:00:aa:bb:cc,hostfwd=tcp::0-:22", "-netdev", "hubport,hubid=1,id=h0", "-device", "e1000,netdev=h0,id=second",
                "-netdev", "user,id=spare,tftp=/nonexistent", "-netdev", "socket,id=lis,listen=:0", "-device", "rtl8139,netdev=lis",
                "-chardev", "socket,id=ch,host=127.0.0.1,port=0,server=on,wait=off", "-device", "virtio-serial-pci,id=vs",
                "-device", "virtserialport,bus=vs.0,id=port,chardev=ch", "-device", "virtserialport,bus=vs.0,id=lonely")
    try:
        m = Monitor(path)
        info = m.command("info network")
        check("model=e1000,macaddr=52:54:00:aa:bb:cc" in info and "n0: index=0,type=user,net=10.0.2.0" in info, info)
        check("hub 1" in info and "second" in info, info)
        check(str(port) in m.command(f"hostfwd_add tcp::{port}-:80"), "a taken port")
        said = m.command("hostfwd_add n0 tcp:127.0.0.1:0-:80")
        chosen = re.search(r"tcp:127.0.0.1:(\d+)-:80", said)
        check(chosen, said)
        socket.create_connection(("127.0.0.1", int(chosen[1])), timeout=10).close()
        check(chosen[1] in m.command("info usernet"), "usernet")
        check(m.command(f"hostfwd_remove n0 tcp:127.0.0.1:{chosen[1]}").endswith("removed\n"), "remove")
        check("no such port" in m.command(f"hostfwd_remove n0 tcp:127.0.0.1:{chosen[1]}"), "removed twice")
        check(m.command("set_link second off") == "" and "no network card" in m.command("set_link third off"), "set_link")
        tree = m.command("info qtree")
        check(re.search(r'dev: e1000, id "second"\n +netdev = "h0"\n +mac = "52:54:00:12:34:56"\n', tree.replace("\r", "")), tree)
        check(re.search(r'bus: vs.0\n +dev: virtserialport, id "port"', tree.replace("\r", "")), tree)
        check("rtl8139" in m.command("device_add help") and "dgram" in m.command("netdev_add help"), "lists")
        check(m.command("netdev_add user,id=more") == "" and m.command("device_add e1000,netdev=more,id=third") == "", "a card more")
        m.quit()
        check(p.wait(20) == 0, "quit")
        said = p.stdout.read().decode()
        check("goes to the guest's port 22" in said, "port 0 is said")
        check("no card is plugged into the network back end 'spare'" in said and "'lis' (" not in said, said)
        check("tftp=/nonexistent: No such file or directory" in said, said)
        check(re.search("'lis' listens on 127.0.0.1:[1-9]", said) and re.search("a socket listens on 127.0.0.1:[1-9]", said), said)
    finally:
        p.kill()


def test_monitor(t):
    path = t.dir / "mon.sock"
    p = t.start("-display", "none", "-monitor", f"unix:{path},server=on,wait=off", "-fda", t.boot_sector())
    try:
        m = Monitor(path)
        wait_until("the machine to run", lambda: "running" in m.command("info status"), 60, 0.1)
        time.sleep(3)
        m.command("stop")
        check("paused" in m.command("info status"), "stop")
        regs = m.command("info registers")
        check(re.search(r"EIP=|RIP=", regs) and "CR0=" in regs, regs)
        check("55" in m.command("xp /2xb 0x7dfe") and "aa" in m.command("xp/2xb 0x7dfe"), m.command("xp /2xb 0x7dfe"))
        check("CPU #0" in m.command("info cpus"), "cpus")
        check("ram" in m.command("info mtree"), "mtree")
        check("regions" in m.command("info jit"), "jit")
        check("8259" in m.command("info pic") or "irr" in m.command("info pic").lower(), m.command("info pic"))
        for f, magic in (("a.png", b"\x89PNG"), ("a.ppm", b"P6")):
            m.command(f"screendump {t.dir / f}")
            check((t.dir / f).read_bytes().startswith(magic), f)
        check(re.search(r"[0-9a-f]{8}", m.command("info tlb")), m.command("info tlb"))
        check("SECOND-SECTOR-OK" in m.command("info screen"), m.command("info screen"))
        check(m.command("x /2xb 0x7dfe") == m.command("xp /2xb 0x7dfe"), "x and xp differ in real mode")
        check("0x00007c00:  xor" in m.command("x /1i 0x7c00"), m.command("x /1i 0x7c00"))
        check("not" in m.command("sendkey nosuchkey") or "unknown" in m.command("sendkey nosuchkey"), m.command("sendkey nosuchkey"))
        check("unknown command" in m.command("nosuch"), "unknown")
        m.command("cont")
        check("running" in m.command("info status"), "cont")
        m.command("system_reset")
        m.s.sendall(b"quit\n")
        check(p.wait(20) == 0, "quit")
    finally:
        if p.poll() is None:
            p.kill()


def test_monitor_guest(t):
    """Keys and the power button reach a guest; a reset boots it again."""
    guest = GUESTS / "amd64-pc"
    with Emulator(t.program, "-m", "256", "-kernel", guest / "vmlinuz", "-initrd", guest / "initrd.gz", "-append", "console=tty0 quiet nomodeset guest_quiet guest_end=shell") as m:
        m.wait_for_text(r"(?m)^/ #")
        m.command('type "echo Typed-$((6*7)) >/dev/ttyS0"')
        m.command("sendkey ret")
        m.wait_for_serial("Typed-42")
        status = "echo B-$(dd if=/dev/port bs=1 skip=1537 count=1 2>/dev/null | od -An -tx1 | tr -d ' ') >/dev/ttyS0"

        def button(value):  # bit 8 of the PM1 status register at 0x600 (ACPI 4.8.4.1.1)
            m.command(f'type "{status}"')
            m.command("sendkey ret")
            m.wait_for_serial(f"B-{value}")
        button("00")
        m.command("system_powerdown")
        button("01")
        m.command("stop")
        pc = m.command("info registers")
        check(pc == m.command("info registers"), "a stopped machine runs")
        m.command("cont")
        m.command("system_reset")
        m.wait_for_text(r"Booting from ROM")
        m.wait_for_text(r"(?m)^/ #")
        m.monitor.quit()
        m.exited(0)


def kernel_symbols(t, name, arch, symbols):
    """An ELF file with some of the guest kernel's symbols, which the guest itself tells (/proc/kallsyms)."""
    cpu = ["-cpu", "pentium3"] if arch == "i386" else []
    code, out, err = t.run(f"qemu-system-{arch}", "-m", "256", *cpu, "-nographic", "-no-reboot", "-kernel", GUESTS / name / "vmlinuz", "-initrd", GUESTS / name / "initrd.gz",
                           "-append", "console=ttyS0 nokaslr quiet guest_quiet guest_run=grep+-w+" + "+".join(f"-e+{s}" for s in symbols) + "+/proc/kallsyms", timeout=240)
    found = dict((n, int(a, 16)) for a, n in re.findall(r"^([0-9a-f]{8,16}) \w (\w+)$", out, re.M) if n in symbols)
    check(len(found) == len(symbols), f"kallsyms: {found}\n{out[-800:]}{err}")
    source = t.dir / f"{name}.s"
    source.write_text("".join(f'.section at_{s},"ax"\n.globl {s}\n.type {s}, @function\n{s}: .skip 64\n.size {s}, 64\n' for s in symbols))
    bits, emulation = ("--32", "elf_i386") if arch == "i386" else ("--64", "elf_x86_64")
    subprocess.run(["as", bits, "-o", t.dir / f"{name}.o", source], check=True)
    elf = t.dir / f"{name}.elf"
    subprocess.run(["ld", "-m", emulation, *[f"--section-start=at_{s}={a:#x}" for s, a in found.items()], "-e", symbols[0], "-o", elf, t.dir / f"{name}.o"], check=True)
    return elf


def gdb_session(t, name, arch, registers):
    elf = kernel_symbols(t, name, arch, ["start_kernel", "rest_init"])
    port = 20000 + os.getpid() % 20000
    cpu = ["-cpu", "pentium3"] if arch == "i386" else []
    p = t.start("-m", "256", *cpu, "-display", "none", "-serial", f"file:{t.dir / 'gdb.log'}", "-no-reboot", "-gdb", f"tcp::{port}", "-S", "-kernel", GUESTS / name / "vmlinuz",
                "-initrd", GUESTS / name / "initrd.gz", "-append", "console=ttyS0 nokaslr guest_quiet", arch=arch)
    try:
        script = [f"target remote localhost:{port}", "break start_kernel", "continue", "info registers " + registers[0], "x/4xb $pc", f"p $start = ${registers[0]}",
                  "stepi", f"p ${registers[0]} != $start", "stepi", "stepi", "info threads", f"set var ${registers[1]} = 0x1234", f"p/x ${registers[1]}", "delete", "hbreak rest_init", "continue",
                  "p $pc == (void*)&rest_init", "delete", "detach"]
        args = [a for line in script for a in ("-ex", line)]
        g = subprocess.run(["gdb", "-nx", "-batch", *args, str(elf)], capture_output=True, timeout=200)
        out = (g.stdout + g.stderr).decode(errors="replace")
        for pattern in (r"Breakpoint 1, 0x[0-9a-f]+ in start_kernel", r"0x[0-9a-f]+ <start_kernel>:\s+0x[0-9a-f]{2}\s+0x[0-9a-f]{2}", r"CPU#0", r"= 0x1234", r"Breakpoint 2, 0x[0-9a-f]+ in rest_init"):
            check(re.search(pattern, out), f"gdb: no {pattern!r}:\n{out}")
        check(len(re.findall(r"= 1$", out, re.M)) == 2, out)
        check(p.wait(240) == 0, "after detach the guest did not end")
        check("Power down" in (t.dir / "gdb.log").read_text(errors="replace"), "after detach the guest did not go on")
    finally:
        if p.poll() is None:
            p.kill()


def test_gdb_amd64(t):
    gdb_session(t, "amd64-pc", "x86_64", ("rip", "rax"))


def test_gdb_i386(t):
    gdb_session(t, "i386-pc", "i386", ("eip", "eax"))


def test_irrun(t):
    """IR text through the verifier, the passes and both backends."""
    tools = pathlib.Path(t.program).parent

    def tool(name, *args, text=None):
        p = subprocess.run([tools / name, *args], input=text, capture_output=True, text=True, timeout=60)
        return p.returncode, p.stdout, p.stderr
    cases = {
        "66 f7 e1 0f 43 c8": ["--set", "rax=0x1234", "--set", "rcx=0x8001"],
        "f3 a4": ["--set", "rcx=4", "--set", "rsi=0x100", "--set", "rdi=0x200", "--mem", "0x100=01020304"],
        "48 89 03": ["--set", "rbx=0x200000"],
        "0f 58 c1 d9 e8 d9 fe dd 1b": ["--set", "xmm0=0x3f8000003f8000003f8000003f800000", "--set", "xmm1=0x40000000", "--set", "rbx=0x40"],
        "50 48 83 ec 10 48 89 04 24 ff d0": ["--set", "rsp=0x8000", "--set", "rax=0x7777"],
    }
    for code, settings in cases.items():
        status, ir, err = tool("isdump", "--stages", "ir", *code.split())
        check(status == 0, err)
        ends = set()
        for opt in ("none", "all"):
            status, out, err = tool("irrun", "--backend", "both", "--opt", opt, *settings, "-", text=ir)
            check(status == 0 and "agree" in out, f"{code}, --opt {opt}: {status} {out} {err}")
            ends.add(out)
        check(len(ends) == 1, f"{code}: the passes change what happens: {ends}")
    check("[0x200] 01 02 03 04" in tool("irrun", *cases["f3 a4"], "-", text=tool("isdump", "--stages", "ir", "f3a4")[1])[1], "rep movsb")
    check("fault at address 0x200000, instruction at 0x1000" in tool("irrun", *cases["48 89 03"], "-", text=tool("isdump", "--stages", "ir", "488903")[1])[1], "a fault")
    for text, what in (("nothing", "no region"), ("-- 0x1 (1 bytes)\n  %1 = ad.i32 %1\n", "line 2: expected an op"), ("-- 0x1 (1 bytes)\n  fence\n", "verifier")):
        status, out, err = tool("irrun", "-", text=text)
        check(status == 1 and what in err and not out, f"{text}: {status} {err}")
    for args in (["--backend", "a64", "-"], ["--set", "rax", "-"], [], ["--nosuch", "-"]):
        check(tool("irrun", *args, text="")[0] == 2, f"irrun {args}")
    check(tool("isdump", "zz")[0] == 2 and "no option" in tool("isdump", "--nosuch")[2], "isdump's errors")


def test_docs_examples(t):
    docs_examples.run_all(t, kernel_symbols(t, "amd64-pc", "x86_64", ["start_kernel", "rest_init"]))


class Window:
    """A virtual display, and the emulator's window on it."""

    def __init__(self, t, *args, arch="x86_64"):
        read, write = os.pipe()
        self.x = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x1024x24"], pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as number:  # written when the server listens
            self.env = dict(os.environ, DISPLAY=":" + number.readline().strip(), SDL_VIDEODRIVER="x11")
        try:
            self.machine = Emulator(t.program, "-name", "Test", *args, arch=arch, display="sdl", env=self.env)
            self.id = wait_until("the window with the focus", self.focus, step=0.5)
        except BaseException:
            self.x.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.machine.close()
        self.x.kill()
        self.x.wait()

    def tool(self, *args, fails=False):
        p = subprocess.run(["xdotool", *map(str, args)], capture_output=True, env=self.env, timeout=120)
        check(fails or p.returncode == 0, f"xdotool {args}: {p.stderr.decode()}")
        return p.stdout.decode().strip()

    def focus(self):
        """Gives the window the focus; its number, when both stay (SDL makes a window anew for its renderer)."""
        check(self.machine.process.poll() is None, "the emulator has ended")
        found = self.tool("search", "--name", "Test - Doppel", fails=True).split()
        if len(found) != 1:
            return None
        self.tool("windowfocus", found[0], fails=True)
        time.sleep(1)
        same = self.tool("search", "--name", "Test - Doppel", fails=True).split() == found
        return found[0] if same and self.tool("getwindowfocus", fails=True) == found[0] else None

    def type_line(self, text):
        self.tool("type", "--delay", "60", text)
        self.tool("key", "Return")

    def title(self):
        return self.tool("getwindowname", self.id)

    def wait_title(self, *parts, absent=()):
        wait_until(f"the title to say {parts} without {absent}", lambda: all(p in self.title() for p in parts) and not any(p in self.title() for p in absent))

    def size(self):
        return tuple(int(v) for v in re.findall(r"(?:WIDTH|HEIGHT)=(\d+)", self.tool("getwindowgeometry", "--shell", self.id)))

    def picture(self):
        """The window's pixels: width, height, rows of 32-bit values."""
        raw = subprocess.run(["xwd", "-silent", "-id", self.id], capture_output=True, env=self.env, check=True).stdout
        head = struct.unpack(">25I", raw[:100])
        skip, width, height, line = head[0] + head[19] * 12, head[4], head[5], head[12]
        return width, height, [raw[skip + y * line:skip + y * line + width * 4] for y in range(height)]

    def close_button(self):
        """What a window manager's close button sends: WM_DELETE_WINDOW (ICCCM 4.2.8.1)."""
        x11 = ctypes.CDLL("libX11.so.6")
        x11.XOpenDisplay.restype = ctypes.c_void_p
        x11.XInternAtom.restype = ctypes.c_ulong
        display = ctypes.c_void_p(x11.XOpenDisplay(self.env["DISPLAY"].encode()))
        atom = [x11.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")]
        event = (ctypes.c_long * 24)()  # XClientMessageEvent: type, serial, send_event, display, window, message_type, format, data
        event[0], event[4], event[5], event[6], event[7] = 33, int(self.id), atom[0], 32, atom[1]
        x11.XSendEvent(display, ctypes.c_ulong(int(self.id)), 0, ctypes.c_long(0), ctypes.byref(event))
        x11.XFlush(display)
        x11.XCloseDisplay(display)


def test_window_keyboard(t):
    """Typing into the guest through the window; its title; closing it presses the power button."""
    guest = GUESTS / "amd64-pc"
    with Window(t, "-m", "256", "-no-reboot", "-kernel", guest / "vmlinuz", "-initrd", guest / "initrd.gz",
                "-append", "console=tty0 quiet nomodeset guest_quiet guest_end=shell") as w:
        m = w.machine
        m.wait_for_text(r"(?m)^/ #")
        w.type_line("echo Typed-$((6*7)) >/dev/ttyS0")
        m.wait_for_serial("Typed-42")
        width, height, rows = w.picture()
        check((width, height) == (720, 400), f"the window is {width} x {height}")
        screen = m.screen()
        same = sum(rows[y][x * 4:x * 4 + 3] == screen.row(y)[x * 3:x * 3 + 3][::-1] for y in range(0, 384) for x in range(0, 720))
        check(same > 0.99 * 720 * 384, f"the window shows another screen: {same} pixels agree")
        w.wait_title("Test - Doppel", absent=["Stopped"])
        m.command("stop")
        w.wait_title("[Stopped]")
        m.command("cont")
        w.wait_title("Test - Doppel", absent=["Stopped"])
        w.tool("windowsize", w.id, 1000, 700)
        wait_until("the new size", lambda: w.size() == (1000, 700))

        def scaled():
            width, height, rows = w.picture()
            used = [y for y in range(height) if any(rows[y])]
            return width == 1000 and any(any(row[700 * 4:]) or any(row[:200 * 4]) for row in rows) and used and used[-1] > 300
        wait_until("the picture to fill the resized window", scaled)
        os.kill(m.process.pid, signal.SIGSTOP)  # as on a busy host: the keys are up again when it sees that they went down
        w.tool("key", "ctrl+alt+u")
        os.kill(m.process.pid, signal.SIGCONT)
        wait_until("the guest's own size", lambda: w.size() == (720, 400))
        w.type_line("poweroff -f")
        m.exited(0)


def test_vmport(t):
    """The VMware backdoor from a guest: what it says of the machine, and a pointer that is where the host's is."""
    sector = t.sector("vmport_sector", "tests/cli/vmport_sector.s")
    uuid = "550e8400-e29b-41d4-a716-446655440000"

    def lines(m, letter):
        return [tuple(int(v, 16) for v in p.split()) for p in re.findall(letter.encode() + rb"((?: [0-9a-f]{8}){4})\n", m.serial())]
    with Emulator(t.program, "-m", "96", "-uuid", uuid, "-rtc", "base=2024-02-29T12:00:00", "-fda", sector, "-machine", "pc,vmport=auto") as m:
        m.wait_for_serial("!")
        version, ram, said, now = lines(m, "V")
        check(version[:3] == (6, 0x564d5868, 2) and ram[0] == 96 << 20, f"{version} {ram}")
        check(struct.pack("<4I", *said).hex() == uuid.replace("-", ""), f"UUID {said}")
        check(0 <= now[0] - 1709208000 < 300 and now[1] < 1000000, f"the time {now}")
        check(lines(m, "E")[0][0] == 0x3442554a, "the pointer's version")
        for line, dx, button in (("mouse_move 300 200", 1, 0), ("mouse_button 1", 0, 0x20), ("mouse_move -100 -50", -1, 0)):
            before = lines(m, "P") or [(0, 0, 0, 0)]
            m.command(line)
            wait_until(line, lambda: len(lines(m, "P")) >= len(before) and lines(m, "P")[-1:] != before[-1:])
            was, new = before[-1], lines(m, "P")[-1]
            check(new[0] == button and (new[1] - was[1]) * dx >= 0 and (dx == 0 or new[1] != was[1]), f"{line}: {was} -> {new}")
        m.monitor.quit()
        m.exited(0)
    with Emulator(t.program, "-fda", sector, "-machine", "pc,vmport=off") as m:
        m.wait_for_serial("!")
        check(lines(m, "V")[0][:2] == (0xffffffff, 0), f"vmport=off: {lines(m, 'V')}")
        m.monitor.quit()
        m.exited(0)
    with Window(t, "-fda", sector) as w:
        w.machine.wait_for_serial("!")
        w.wait_title("Test - Doppel", absent=["click to use the mouse"])
        width, height = w.size()
        for x, y in ((width // 4, height // 2), (width // 2, height // 4), (width - 10, height - 10)):
            w.tool("mousemove", "--window", w.id, x, y)

            def there():
                at = lines(w.machine, "P")[-1:]
                return at and abs(at[0][1] / 65535 - x / width) < 0.02 and abs(at[0][2] / 65535 - y / height) < 0.02
            wait_until(f"the pointer at {x}, {y}", there, 30)
        w.tool("click", 1)
        wait_until("the button", lambda: [p[0] for p in lines(w.machine, "P")][-2:] == [0x20, 0], 30)


def test_window_close(t):
    with Window(t, "-fda", t.sector("mouse_sector", "tests/cli/mouse_sector.s")) as w:
        w.machine.wait_for_serial("MOUSE-READY")
        w.close_button()
        w.wait_title("[Power off requested: close again to end]")
        check("running" in w.machine.command("info status"), "the first click ended the machine")
        w.close_button()
        w.machine.exited(0)


def test_window_mouse(t):
    """A click takes the mouse, Ctrl+Alt+G gives it back; movements and buttons reach the guest while it has it."""
    with Window(t, "-fda", t.sector("mouse_sector", "tests/cli/mouse_sector.s")) as w:
        m = w.machine
        m.wait_for_serial("MOUSE-READY")

        def packets():
            return [tuple(int(v, 16) for v in p) for p in re.findall(rb"M (\w\w) (\w\w) (\w\w)\n", m.serial())]
        w.wait_title("click to use the mouse")
        w.tool("mousemove", "--window", w.id, 200, 200)
        w.tool("mousemove_relative", 10, 5)
        w.tool("click", 1)
        w.wait_title("press Ctrl+Alt+G to release the mouse")
        check(packets() == [], f"before the grab the guest saw {packets()}")

        def moved(dx, dy, right, up):
            before = len(packets())
            w.tool("mousemove_relative", "--", dx, dy)

            def seen():
                new = packets()[before:]
                return any((s & 0x10 == 0 and x > 0 if right else s & 0x10 and x > 0) and (y > 0 and (s & 0x20 == 0 if up else s & 0x20)) for s, x, y in new)
            wait_until(f"a movement by {dx}, {dy}", seen, 30)
        moved(30, 20, True, False)
        moved(-20, -30, False, True)
        for button, bit in ((1, 1), (3, 2), (2, 4)):
            before = len(packets())
            w.tool("click", button)
            wait_until(f"button {button}", lambda: [bool(p[0] & bit) for p in packets()[before:] if not p[1] and not p[2]][-2:] == [True, False], 30)
        w.tool("key", "ctrl+alt+g")
        w.wait_title("click to use the mouse")
        before = len(packets())
        w.tool("mousemove_relative", 40, 40)
        m.command("info status")
        time.sleep(0.5)
        check(len(packets()) == before, "the guest sees the mouse after it was given back")
        m.monitor.quit()
        m.exited(0)


sys.exit(run_tests("cli", globals(), Tester(sys.argv[1]), sys.argv[2:]))
