#!/usr/bin/env python3
"""The command line, the monitor, the screen and the debugger: tests/cli/run.py build/release/doppel [NAME...]"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
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
        image = self.dir / "floppy.img"
        if not image.exists():
            o, b = self.dir / "boot.o", self.dir / "boot.bin"
            subprocess.run(["as", "--32", "-o", o, ROOT / "tests/boot/boot_sector.s"], check=True)
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
    code, out, _ = t.run("doctor")
    check(code == 0 and "translator" in out, out)


def test_bad_input(t):
    junk = t.dir / "junk"
    junk.write_bytes(b"this is no kernel" * 100)
    t.fails(["-kernel", "/nonexistent"], 1, "/nonexistent")
    t.fails(["-kernel", junk], 1, "junk", "kernel")
    t.fails(["-kernle", "x"], 2, "unknown option", "did you mean '-kernel'")
    t.fails(["-kernel"], 2, "needs an argument")
    t.fails(["-device", "nosuchthing"], 1, "nosuchthing")
    t.fails(["-cpu", "qemu65"], 1, "qemu65", "qemu64")
    t.fails(["-cpu", "qemu64,+nosuchflag"], 1, "nosuchflag")
    t.fails(["-M", "pd"], 1, "pd")
    t.fails(["-m", "1000000G"], 1, "memory|RAM|large")
    t.fails(["-m", "abc"], 1, "not a size")
    t.fails(["-smp", "0"], 1, "-smp")
    t.fails(["-bios", "/nonexistent.bin"], 1, "nonexistent.bin")
    t.fails(["-hda", "/nonexistent.img"], 1, "nonexistent.img")
    t.fails(["-hda", t.dir], 1, "folder|directory")
    t.fails(["-netdev", "user,id=n"], 1, "not built yet")
    t.fails(["-append", "x"], 1, "-kernel")
    t.fails(["-drive", f"file={junk},fromat=raw"], 1, "fromat", "format")
    t.fails(["-d", "in_asn"], 1, "in_asn")
    t.fails(["-gdb", "tcp::99999999"], 1, "99999999")
    t.fails(["-serial", "tpc::1"], 2, "tpc")
    qcow2 = t.dir / "x.qcow2"
    qcow2.write_bytes(b"QFI\xfb" + bytes(600))
    t.fails(["-hda", qcow2], 1, "qcow2", "not built yet")


def test_firmware_missing(t):
    empty = t.dir / "empty"
    empty.mkdir(exist_ok=True)
    t.fails(["-bios", "no-such-bios.bin"], 1, "no-such-bios.bin")


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


def test_monitor(t):
    path = t.dir / "mon.sock"
    p = t.start("-display", "none", "-monitor", f"unix:{path},server=on,wait=off", "-fda", t.boot_sector())
    try:
        m = Monitor(path)
        check("running" in m.command("info status"), "status")
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
        check("unknown command" in m.command("nosuch"), "unknown")
        m.command("cont")
        check("running" in m.command("info status"), "cont")
        m.command("system_reset")
        m.s.sendall(b"quit\n")
        check(p.wait(20) == 0, "quit")
    finally:
        if p.poll() is None:
            p.kill()


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


def test_window(t):
    """The SDL window under Xvfb shows the guest's text screen and takes keys."""
    display = f":{90 + os.getpid() % 100}"
    x = subprocess.Popen(["Xvfb", display, "-screen", "0", "1024x768x24"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    p = None
    try:
        time.sleep(1)
        path = t.dir / "win.sock"
        env = dict(os.environ, DISPLAY=display, SDL_VIDEODRIVER="x11")
        p = subprocess.Popen([t.program, "qemu-system-x86_64", "-name", "Test", "-fda", str(t.boot_sector()), "-monitor", f"unix:{path},server=on,wait=off", "-serial", "null"], env=env,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        m = Monitor(path)
        time.sleep(4)
        shot = subprocess.run(["xwd", "-root", "-silent", "-display", display], capture_output=True)
        check(shot.returncode == 0 and len(set(shot.stdout[-1024 * 700 * 4:])) > 1, "the window shows nothing")
        m.s.sendall(b"quit\n")
        check(p.wait(20) == 0, "quit")
    finally:
        if p and p.poll() is None:
            p.kill()
        x.kill()


sys.exit(run_tests("cli", globals(), Tester(sys.argv[1]), sys.argv[2:]))
