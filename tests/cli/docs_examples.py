"""Executes the examples of the documents: each line of a code block that starts a program. A line that no rule below knows fails,
so that a new example brings its rule. Files the examples name are stood in for by guests of the tests, in a folder of their own."""
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time

from harness import GUESTS, ROOT, check, wait_until

DOCUMENTS = ("README.md", "docs/user-guide.md", "docs/debugging.md")
PROGRAM = re.compile(r"^(\$ )?((build/release/)?doppel|isdump|irrun|gdb|perf|qemu-img|qemu-system-\w+) ")


def examples(path):
    """(command, what the document shows below it) of each example."""
    for block in re.findall(r"^```\n(.*?)^```", (ROOT / path).read_text(), re.M | re.S):
        lines = block.splitlines()
        for i, line in enumerate(lines):
            if PROGRAM.match(line) and " ..." not in line and not (block.startswith("$ ") and not line.startswith("$ ")):  # what a program prints
                shown = []
                if line.startswith("$ "):
                    shown = next(([*lines[i + 1:j]] for j in range(i + 1, len(lines)) if lines[j].startswith("$ ")), lines[i + 1:])
                yield re.sub(r"\s{3,}\S.*", "", line.removeprefix("$ ")).removeprefix("build/release/"), shown


class Examples:
    def __init__(self, t, symbols):
        self.t, self.dir = t, t.dir / "docs"
        self.dir.mkdir(exist_ok=True)
        with socket.socket() as s:
            s.bind(("", 0))
            self.port = s.getsockname()[1]
        for name, source in (("debian.iso", "pc-iso/boot.iso"), ("boot.iso", "pc-iso/boot.iso"), ("vmlinuz", "amd64-pc/vmlinuz"), ("guests", ".")):
            (self.dir / name).symlink_to(GUESTS / source)
        shutil.copy(GUESTS / "pc-disk/disk.img", self.dir / "disk.img")
        shutil.copy(t.boot_sector(), self.dir / "floppy.img")
        shutil.copy(symbols, self.dir / "vmlinux")
        self.env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
        self.debugged = None

    def words(self, command):
        words = [w.replace("localhost:1234", f"localhost:{self.port}").replace("login:", "GUEST-OK") for w in shlex.split(command)]
        words = [x for w in words for x in (["-gdb", f"tcp::{self.port}"] if w == "-s" else [w])]
        return [self.t.program] + words[1:] if words[0] == "doppel" else words

    def finish(self, words, status=0, timeout=400):
        p = subprocess.run(words, capture_output=True, cwd=self.dir, env=self.env, timeout=timeout, stdin=subprocess.DEVNULL)
        text = (p.stdout + p.stderr).decode(errors="replace")
        check(p.returncode == status, f"{words}: exit status {p.returncode}: {text[-1500:]}")
        return text.replace("\r", "")

    def machine(self, words):
        """Starts; returns when the machine runs."""
        pid = self.dir / "pid"
        pid.unlink(missing_ok=True)
        out = open(self.dir / "out", "wb")
        p = subprocess.Popen([*words, "-pidfile", str(pid)], cwd=self.dir, env=self.env, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT)
        wait_until(f"{words} to run", lambda: pid.exists() or p.poll() is not None)
        time.sleep(1)
        check(p.poll() is None, f"{words}: ended with {p.poll()}: {(self.dir / 'out').read_text(errors='replace')}")
        return p

    def end(self, p):
        p.send_signal(signal.SIGTERM)
        check(p.wait(60) == 0, f"after SIGTERM: exit status {p.returncode}")

    def run(self, command, shown):
        if re.match(r"isdump|irrun", command):  # the tools lie beside the program
            path = os.path.dirname(self.t.program) + os.pathsep + self.env["PATH"]
            p = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=self.dir, env=dict(self.env, PATH=path), timeout=60)
            check(p.returncode == 0 and (p.stdout.splitlines() == shown if shown else p.stdout), f"{command}: {p.returncode}\n{p.stdout}{p.stderr}")
            return
        words = self.words(command)
        if command.startswith("perf report"):
            return
        if command.startswith("perf record"):  # what is recorded; perf itself is the kernel's
            p = self.machine(self.words(command[command.index("doppel"):]))
            check(os.path.exists(f"/tmp/perf-{p.pid}.map"), "no map for perf")
            os.unlink(f"/tmp/perf-{p.pid}.map")
            return self.end(p)
        if command.startswith("gdb"):
            check(self.debugged, f"{command}: no machine to debug")
            text = self.finish([words[0], "-nx", "-batch", *words[1:], "-ex", "info registers", "-ex", "detach"])
            check("rip" in text or "eip" in text, text)
            check("start_kernel" not in command or re.search("Breakpoint 1, .* start_kernel", text), text)
            self.end(self.debugged)
            self.debugged = None
            return
        if shown:
            text = self.finish(words, 2 if "-smpp" in command else 0)
            check(text.splitlines() == shown, f"{command}: the document shows\n{shown}\nand the program says\n{text}")
        elif re.match(r"doppel (explain|img) ", command) or "--wait-for" in command:
            self.finish(words)
        elif "-no-reboot" in command:
            check("Power down" in self.finish(words), f"{command}: no power down")
        elif re.match(r"doppel (run|qemu-system-\w+) ", command):
            if command.startswith("doppel run disk.qcow2"):  # what was installed in the example before
                self.finish([self.t.program, "img", "convert", "-O", "qcow2", "disk.img", "disk.qcow2"])
            p = self.machine(words)
            if "-S" in words:
                self.debugged = p
            else:
                self.end(p)
        else:
            check(False, f"no rule for the example: {command}")


def run_all(t, symbols):
    e, count = Examples(t, symbols), 0
    try:
        for document in DOCUMENTS:
            for command, shown in examples(document):
                e.run(command, shown)
                count += 1
    finally:
        if e.debugged:
            e.debugged.kill()
    check(count >= 20, f"only {count} examples found")
