#!/usr/bin/env python3
"""The debugger's server of single programs: tests/user/debugger/run.py DOPPEL [NAME...]

gdb-multiarch on program.c, compiled for each CPU, static and dynamic. DOPPEL may be the word qemu: what of it QEMU's server does as well."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
import user_mode  # noqa: E402
from harness import check, run_tests, wait_until  # noqa: E402

PREFIX = {"i386": "", "x86_64": "", "mips": "/usr/mips-linux-gnu", "mipsel": "/usr/mipsel-linux-gnu",
          "mips64el": "/usr/mips64el-linux-gnuabi64"}


def listens(path):
    """The socket is there, and somebody listens (proc(5), /proc/net/unix: flag __SO_ACCEPTCON)."""
    rows = [line.split() for line in pathlib.Path("/proc/net/unix").read_text().splitlines()]
    return any(row[-1] == str(path) and int(row[3], 16) & 0x10000 for row in rows[1:])


class Debug:
    def __init__(self, program):
        self.program = program
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="doppel-debug."))
        self.count = 0

    def compile(self, abi, link):
        binary = self.dir / f"program-{abi.name}-{link}"
        if not binary.exists():
            flags = ["-static"] if link == "static" else []
            subprocess.run([abi.cc, "-g", "-O0", "-w", "-pthread", *flags, "-o", str(binary), str(HERE / "program.c")], check=True)
        return binary

    def start(self, abi, binary, *args):
        """The program, waiting for a debugger on a socket of a name of its own."""
        self.count += 1
        path = self.dir / f"socket{self.count}"
        prefix = ["-L", PREFIX[abi.name]] if PREFIX[abi.name] else []
        command = [*user_mode.emulator(self.program, abi.name), *prefix, "-g", str(path), str(binary), *args]
        p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=self.dir)
        wait_until("the server's socket", lambda: listens(path) or p.poll() is not None, 60, 0.02)
        return p, path

    def gdb(self, abi, link, script, *args, status=42, binary=True, interrupt=None):
        """gdb's lines, and what the program said."""
        program = self.compile(abi, link)
        p, path = self.start(abi, program, *args)
        try:
            lines = ["set pagination off", "set confirm off", "set width 0", "set debuginfod enabled off", f"target remote {path}", *script]
            command = ["gdb-multiarch", "-nx", "-batch", *[a for line in lines for a in ("-ex", line)], *([str(program)] if binary else [])]
            g = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, errors="replace")
            if interrupt:
                interrupt(p, g)
            try:
                said, _ = g.communicate(timeout=40)
            except subprocess.TimeoutExpired:
                g.kill()
                check(False, f"gdb is not done after 40 s:\n{g.communicate()[0]}")
            try:
                out, err = (t.decode(errors="replace") for t in p.communicate(timeout=60))
            except subprocess.TimeoutExpired:
                check(False, f"the program is not done after gdb:\n{said}")
            check(p.returncode == status, f"the program's status is {p.returncode} instead of {status}: {out}{err}\n{said}")
            return said, out
        finally:
            if p.poll() is None:
                p.kill()


def need(said, *patterns):
    at = 0
    for pattern in patterns:
        match = re.compile(pattern, re.M).search(said, at)
        check(match, f"gdb did not say {pattern!r} (in this order):\n{said}")
        at = match.end()


def session(t, abi, link):
    """Breakpoints, registers, memory, steps, calls with whole numbers and doubles, and on to the end."""
    # gdb takes what Debian's o32 compilers make (-mfpxx) for soft float.
    script = [*(["set mipsfpu double"] if abi.name in ("mips", "mipsel") else []), "info registers pc", "break square", "continue", "backtrace", "print n", "finish", "print $", "print counter", "delete", "break touch", "continue",
              "print points[1]", "print/x wide", "up", "print sum", "print h", "down", "print half(9.0)", "print square(11)", "set var text = \"after\"",
              "next", "next", "print points[1].y", "delete", "stepi", "stepi", "info threads", "handle SIGUSR1 SIGSEGV nostop noprint", "continue"]
    said, out = t.gdb(abi, link, script)
    need(said, r"^pc:? +0x[0-9a-f]+", r"^Breakpoint 1, square \(n=1\)", r"^#0 +square", r"^#1 .* main \(argc=1", r"= 1$", r"Value returned is \$\d+ = 1$", r"= 1$", r"= 6$",
         r"^Breakpoint 2, touch \(n=7\)", r"= \{x = 3, y = 4, weight = 1.25\}", r"= 0x1122334455667788", r"in main", r"= 14$", r"= 7$", r"= 4.5$", r"= 121$", r"= 7$",
         r"^\* 1 +Thread ", r"exited with code 052\]")
    # 5 + 1 + 4 + 9 and 121 by the debugger's call, 10 + 11 + 12 by the threads; the child has its own.
    check(out == "sum 14 half 7.0 text after argc 1\nhandled yes\ncounter 173 child 9\n", f"the program said {out!r}\n{said}")


def signals(t, abi, link):
    """A signal stops, is passed on or taken away; a fault; which number an end has."""
    script = ["continue", "print $_siginfo.si_signo" if abi.name == "x86_64" else "print 10", "signal 0", "print *(int*)16", "handle SIGSEGV nostop noprint", "continue"]
    said, out = t.gdb(abi, link, script)
    need(said, r"received signal SIGUSR1", r"= 10$", r"received signal SIGSEGV", r"exited with code 052")
    check("handled no" in out and out.endswith("counter 52 child 9\n"), f"{out!r}\n{said}")


def threads(t, abi, link):
    script = ["handle SIGUSR1 SIGSEGV nostop noprint", "break in_thread if n == 11", "continue", "print n", "info threads", "thread apply all backtrace 1", "next", "next", "delete", "continue"]
    said, out = t.gdb(abi, link, script)
    need(said, r"hit Breakpoint 1.*in_thread \(n=11\)", r"= 11$", r"^\* \d+ +Thread ", r"exited with code 052")
    check(len(re.findall(r"^[* ] \d+ +Thread ", said, re.M)) >= 2, said)
    check(out.endswith("counter 52 child 9\n"), f"{out!r}\n{said}")


def interrupted(t, abi, link):
    """Ctrl-C while it waits in the kernel; gone on; killed."""
    def interrupt(p, g):
        line = b""
        while b"child" not in line:
            line = p.stdout.readline()
            check(line, "the program ended")
        time.sleep(0.3)
        g.send_signal(signal.SIGINT)
    script = ["handle SIGUSR1 SIGSEGV nostop noprint", "continue", "backtrace", "print counter", "set var counter = 99", "print counter", "kill"]
    said, _ = t.gdb(abi, link, script, "wait", status=-signal.SIGKILL, interrupt=interrupt)
    need(said, r"received signal SIGINT", r"main \(argc=2", r"= 52$", r"= 99$")


def watchpoints(t, abi, link):
    script = ["handle SIGUSR1 SIGSEGV nostop noprint", "break main", "continue", "watch counter", "continue", "continue", "delete", "rwatch points[1].y", "watch wide", "continue", "info line",
              "delete", "awatch text", "continue", "delete", "continue"]
    said, out = t.gdb(abi, link, script)
    need(said, r"^Hardware watchpoint 2: counter", r"Old value = 5$", r"New value = 6$", r"Old value = 6$", r"New value = 10$", r"Hardware watchpoint 4: wide", r"New value = 1234605616436508559$",
         r"Hardware access \(read/write\) watchpoint 5: text", r"exited with code 052")
    check(out.endswith("counter 52 child 9\n"), f"{out!r}\n{said}")


def make_tests():
    for abi in user_mode.ABIS.values():
        for link in ("static", "dynamic"):
            for what in (session, signals, threads, interrupted, watchpoints):
                if what is not session and link == "static" and abi.name not in ("x86_64", "mips"):
                    continue
                globals()[f"test_{what.__name__}_{abi.name}_{link}"] = lambda t, what=what, abi=abi, link=link: what(t, abi, link)


make_tests()


def test_no_file(t):
    """gdb is given nothing: the program and its libraries are read through the server."""
    for name in ("x86_64", "mipsel"):
        said, _ = t.gdb(user_mode.ABIS[name], "dynamic", ["handle SIGUSR1 SIGSEGV nostop noprint", "break square", "continue", "info sharedlibrary", "info proc mappings", "delete", "continue"], binary=False)
        need(said, r"Breakpoint 1, square \(n=1\)", r"Yes .*libc\.so\.6", r"0x[0-9a-f]+ +0x[0-9a-f]+ +0x[0-9a-f]+ .*program", r"exited with code 052")


def test_detach_and_back(t):
    """One debugger leaves, the program runs on; another comes while it waits."""
    abi = user_mode.ABIS["mipsel"]
    program = t.compile(abi, "static")
    p, path = t.start(abi, program, "wait")
    try:
        def gdb(*script):
            command = ["gdb-multiarch", "-nx", "-batch", "-ex", f"target remote {path}", *[a for line in script for a in ("-ex", line)], str(program)]
            return subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        said = gdb("break square", "continue", "detach")
        check("square (n=1)" in said.stdout, said.stdout + said.stderr)
        line = b""
        while b"counter 52 child 9" not in line:
            line = p.stdout.readline()
            check(line, "the program ended")
        said = gdb("print counter", "detach")
        check("= 52" in said.stdout and p.poll() is None, said.stdout + said.stderr)
    finally:
        p.kill()


def packet(text):
    return b"$%s#%02x" % (text, sum(text) & 255)


def test_bad_packets(t):
    """What no debugger sends."""
    abi = user_mode.ABIS["x86_64"]
    p, path = t.start(abi, t.compile(abi, "static"), "wait")
    try:
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(path))
        s.settimeout(20)

        def ask(text):
            s.sendall(packet(text))
            got = b""
            while not re.search(rb"\$[^#]*#..", got):
                got += s.recv(65536)
            s.sendall(b"+")
            return re.search(rb"\$([^#]*)#", got).group(1)
        check(ask(b"?").startswith(b"T05thread:"), "no stop")
        for text in (b"m", b"m1000", b"mffffffffffffffff,10", b"m0,ffffffff", b"M1000,4:00", b"X1000,2:a", b"p", b"pzz", b"P1", b"Z", b"Z9,0,0", b"Z0,x,1", b"Hg", b"Hgzz", b"Tffffffff", b"G0",
                     b"qXfer:", b"qXfer:auxv:read:", b"qXfer:features:read:x.xml:0,100", b"vCont;", b"vCont;q", b"vFile:", b"vFile:open:", b"vFile:open:zz,0,0", b"vFile:pread:999,10,0",
                     b"vFile:close:1", b"vFile:open:2f6574632f706173737764,1,0", b"QPassSignals:zz", b"qThreadExtraInfo,"):
            reply = ask(text)
            check(reply == b"" or reply[:1] == b"E" or reply[:3] == b"F-1" or text == b"G0", f"{text}: {reply}")
        check(ask(b"qXfer:auxv:read::0,400")[:1] in b"ml", "no auxv")
        s.close()
        line = b""
        while b"counter" not in line:
            line = p.stdout.readline()
            check(line, "the program did not go on when the debugger had gone")
    finally:
        p.kill()


def test_errors(t):
    hello = t.compile(user_mode.ABIS["x86_64"], "static")
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = taken.getsockname()[1]
    for where, status, words in ((str(port), 1, (str(port), "python3")), ("0", 2, ("-g 1234",)), ("99999", 2, ("99999",)), ("/nowhere/at/all", 1, ("/nowhere/at/all",))):
        done = subprocess.run([t.program, "user", "-g", where, str(hello)], capture_output=True, text=True, timeout=60)
        check(done.returncode == status and all(w in done.stderr for w in words), f"-g {where}: {done.returncode} {done.stderr}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(run_tests("debugger", globals(), Debug(sys.argv[1]), sys.argv[2:]))
