#!/usr/bin/env python3
"""The Malta board beyond a kernel's boot: firmware in flash, displays, states: tests/malta/run.py build/release/doppel [NAME...]"""
import os
import pathlib
import random
import re
import select
import struct
import subprocess
import sys
import tempfile
import time
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import GUESTS, Emulator, Failure, check, run_tests  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ORDERS = [arch for arch in ("mipsel", "mips") if (GUESTS / f"{arch}-malta/vmlinux").exists()]    # ./test --full makes the second guest
FLASH = 4 << 20
PROMPT = "maltael # "


class Tester:
    def __init__(self, program):
        self.program = str(pathlib.Path(program).resolve())
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="doppel-malta."))

    def uboot(self):
        path = pathlib.Path("/usr/lib/u-boot/maltael/u-boot.bin")
        check(path.exists(), "the Debian package u-boot-qemu is missing")
        return path


class Terminal:
    """A machine whose serial port is typed into."""

    def __init__(self, t, *args, arch="mipsel"):
        command = [t.program, f"qemu-system-{arch}", "-M", "malta", "-display", "none", "-monitor", "none", "-serial", "stdio", *map(str, args)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.text = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def wait_for(self, pattern, timeout=120):
        """What was said up to and with `pattern`."""
        end = time.time() + timeout
        while not (found := re.search(pattern, self.text)):
            if time.time() > end or not select.select([self.process.stdout], [], [], end - time.time())[0]:
                raise Failure(f"no {pattern!r} after {timeout} s:\n{self.text[-1500:]}")
            part = os.read(self.process.stdout.fileno(), 65536)
            if not part:
                raise Failure(f"it ended without {pattern!r}:\n{self.text[-1500:]}")
            self.text += part.decode(errors="replace").replace("\r", "")
        said, self.text = self.text[:found.end()], self.text[found.end():]
        return said

    def command(self, line, timeout=120):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.wait_for(re.escape(PROMPT), timeout)


def flash_image(t, name="flash.img"):
    path = t.dir / name
    content = t.uboot().read_bytes()
    path.write_bytes(content + b"\xff" * (FLASH - len(content)))
    return path


def test_uboot(t):
    """Debian's U-Boot from -bios: banner, prompt, the PCI bus, the flash as CFI says it is."""
    with Terminal(t, "-m", 256, "-bios", t.uboot(), "-vga", "cirrus") as m:
        said = m.wait_for(re.escape(PROMPT))
        check(re.search(r"U-Boot 20\d\d[^\n]*\n\nBoard: MIPS Malta CoreLV\nDRAM:  256 MiB\n", said), said)
        check("Flash: 4 MiB\n" in said and "Net:   eth0: pcnet#0" in said, said)
        said = m.command("pci")
        for device in ("11ab     0x4620", "8086     0x7110", "8086     0x7111", "8086     0x7112", "8086     0x7113", "1022     0x2000", "1013     0x00b8"):
            check("0x" + device in said, said)
        check("Size: 4 MB in 64 Sectors" in m.command("flinfo"), "flinfo")
        check("1000013f" in m.command("md.l be000000 1"), "the flash's first word")
        check("00000420" in m.command("md.l bfc00010 1"), "the board's revision")


def test_uboot_environment(t):
    """What U-Boot saves in its flash is there at the next start, in a file of either byte order."""
    swapped = t.dir / "swapped.img"
    words = flash_image(t).read_bytes()
    swapped.write_bytes(struct.pack(f">{0x3e0000 // 4}I", *struct.unpack_from(f"<{0x3e0000 // 4}I", words)) + words[0x3e0000:])
    for image in (flash_image(t), swapped):
        before = image.read_bytes()
        flash = ["-m", 256, "-drive", f"file={image},if=pflash,format=raw"]
        with Terminal(t, *flash) as m:
            check("bad CRC" in m.wait_for(re.escape(PROMPT)), "there is an environment in a new flash")
            m.command("setenv doppel kept-value")
            said = m.command("saveenv")
            check("OK" in said and "Failed" not in said and "imeout" not in said, said)
        after = image.read_bytes()
        check(len(after) == FLASH and after[:0x3e0000] == before[:0x3e0000] and b"doppel=kept-value\0" in after[0x3e0000:], "the file")
        with Terminal(t, *flash) as m:
            check("bad CRC" not in m.wait_for(re.escape(PROMPT)), "the environment is gone")
            check("doppel=kept-value" in m.command("printenv doppel"), "printenv")
    with Terminal(t, "-m", 256, "-drive", f"file={swapped},if=pflash,format=raw,readonly=on") as m:
        m.wait_for(re.escape(PROMPT))
        m.command("setenv doppel another-value")
        m.command("saveenv")  # U-Boot does not look at the chip's errors
        check(swapped.read_bytes() == after and "another" not in m.command("md.b be3e0000 400").replace(".", ""), "a flash that can't be written to")


def test_uboot_network(t):
    """DHCP and a file by TFTP through the board's card; the IDE bus answers."""
    content = random.Random(1).randbytes(48 << 10)
    (t.dir / "file").write_bytes(content)
    disk = t.dir / "disk.img"
    with open(disk, "wb") as f:
        f.truncate(1 << 20)
    with Terminal(t, "-m", 256, "-bios", t.uboot(), "-drive", f"file={disk},format=raw", "-nic", f"user,model=pcnet,tftp={t.dir}") as m:
        m.wait_for(re.escape(PROMPT))
        check("Bus 0: OK" in m.command("ide reset"), "ide reset")
        m.command("setenv autoload no")
        check("DHCP client bound to address 10.0.2.15" in m.command("dhcp"), "dhcp")
        said = m.command("tftpboot 81000000 10.0.2.2:file")
        check(f"Bytes transferred = {len(content)} " in said, said)
        said = m.command(f"crc32 81000000 {len(content):x}")
        check(f"==> {zlib.crc32(content):08x}" in said, said)


def test_uboot_large_transfers(t):
    """Files of thousands of frames by TFTP, which does not recover from a lost one: U-Boot's driver gives descriptors back that it waits for."""
    content = random.Random(2).randbytes(4_700_000)
    (t.dir / "large").write_bytes(content)
    with Terminal(t, "-m", 256, "-bios", t.uboot(), "-nic", f"user,model=pcnet,tftp={t.dir}") as m:
        m.wait_for(re.escape(PROMPT))
        m.command("setenv autoload no")
        m.command("dhcp")
        for _ in range(4):
            said = m.command("tftpboot 81000000 10.0.2.2:large", 300)
            check(f"Bytes transferred = {len(content)} " in said and "T " not in said, said)
        said = m.command(f"crc32 81000000 {len(content):x}")
        check(f"==> {zlib.crc32(content):08x}" in said, said)


def test_flash_code(t):
    """Code in flash that is written anew: what was translated of it is gone, at both of its addresses."""
    for arch, order, form in (("mips", "-EB", "elf32btsmip"), ("mipsel", "-EL", "elf32ltsmip")):
        o, elf = t.dir / "flash.o", t.dir / "flash.elf"
        subprocess.run(["mips-linux-gnu-as", order, "-mips32r2", "-o", o, HERE / "flash.s"], check=True)
        subprocess.run(["mips-linux-gnu-ld", order, "-m", form, "-Ttext", "0x80100000", "-e", "_start", "-o", elf, o], check=True)
        p = subprocess.run([t.program, f"qemu-system-{arch}", "-M", "malta", "-m", "64", "-nographic", "-no-reboot", "-monitor", "none", "-kernel", elf],
                           capture_output=True, text=True, timeout=60)
        check(p.returncode == 0 and p.stdout == "2468\n", f"{arch}: exit status {p.returncode}: {p.stdout}{p.stderr}")


def test_flash_refusals(t):
    short, long = t.dir / "short.img", t.dir / "long.img"
    short.write_bytes(bytes(1 << 20))
    long.write_bytes(bytes(FLASH + 1))
    for args, text in ((["-drive", f"file={short},if=pflash,format=raw"], "has 1048576 bytes.*truncate -s 4M"), (["-bios", long], "-bios takes up to 4 MiB"),
                       (["-bios", t.dir / "nope"], "doesn't exist"), ([], "nothing to start.*-kernel.*-bios"),
                       (["-bios", t.uboot(), "-drive", f"file={flash_image(t)},if=pflash,format=raw"], "one flash")):
        p = subprocess.run([t.program, "qemu-system-mipsel", "-M", "malta", "-nographic", *map(str, args)], capture_output=True, text=True, timeout=60)
        check(p.returncode == 1 and re.search(text, p.stderr), f"{text!r}: exit status {p.returncode}: {p.stderr}")


def linux(t, arch, append):
    folder = GUESTS / f"{arch}-malta"
    return Emulator(t.program, "-M", "malta", "-m", 256, "-no-reboot", "-kernel", folder / "vmlinux", "-initrd", folder / "initrd.gz", "-append", append, arch=arch)


def test_timer(t):
    """The kernel finds the CPU's own timer usable: Count that has passed Compare shows in Cause at once."""
    for arch in ORDERS:
        with linux(t, arch, "console=ttyS0 guest_quiet guest_run=cat+/proc/interrupts+/sys/devices/system/clockevents/clockevent0/current_device") as m:
            m.wait_for_serial("GUEST-|Power down")
            m.exited()
            check(re.search(rb"\n\s*23:\s+[1-9]\d*\s+MIPS\s+7\s+timer\r", m.serial()) and b"\nMIPS\r" in m.serial(), m.serial()[-1500:])


def test_screen(t):
    """The console on the board's own display, a Cirrus, by the kernel's own driver."""
    for arch in ORDERS:
        with linux(t, arch, "console=tty0 console=ttyS0 guest_quiet guest_run=echo+The+screen+reads+this+line.>/dev/tty0;echo+SHOWN;sleep+1000") as m:
            m.wait_for_serial(r"\nSHOWN")
            screen = m.screen()
            check((screen.width, screen.height) == (640, 480), f"{arch}: {screen.width} x {screen.height}")
            check(screen.find_text_line("The screen reads this line.") is not None, f"{arch}: the line is not on the screen")
            m.keep_screen(f"{arch}-malta-cirrus")


if __name__ == "__main__":
    sys.exit(run_tests("malta", globals(), Tester(sys.argv[1]), sys.argv[2:]))
