#!/usr/bin/env python3
"""Single programs: tests/user/run.py build/release/doppel [NAME...]

C programs of this folder, compiled by Debian's compilers for each CPU, static, static-pie and dynamic, print the same under Doppel as the
x86-64 one prints on the host itself; what the command line says when it can't run something."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import ROOT, check, run_tests  # noqa: E402

HERE = ROOT / "tests" / "user"
# guest: compiler, the prefix of its libraries ("" for the host's own)
GUESTS = {
    "x86_64": ("gcc", ""),
    "i386": ("i686-linux-gnu-gcc", "/usr/i686-linux-gnu"),
    "mipsel": ("mipsel-linux-gnu-gcc", "/usr/mipsel-linux-gnu"),
    "mips": ("mips-linux-gnu-gcc", "/usr/mips-linux-gnu"),
    "mips64el": ("mips64el-linux-gnuabi64-gcc", "/usr/mips64el-linux-gnuabi64"),
}
LINKS = {"static": ["-static"], "static-pie": ["-static-pie"], "dynamic": []}


class Tester:
    def __init__(self, program):
        self.program = pathlib.Path(program).resolve()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="doppel-user."))
        self.expected = {}

    def compile(self, guest, name, link="static", source=None, flags=()):
        binary = self.dir / f"{name}-{guest}-{link}"
        if not binary.exists():
            source = source or HERE / f"{name}.c"
            command = [GUESTS[guest][0], "-O1", "-w", "-pthread", "-o", str(binary), str(source), *LINKS[link], *flags]
            p = subprocess.run(command, capture_output=True, text=True)
            check(p.returncode == 0, f"{' '.join(command)}:\n{p.stderr}")
        return binary

    def run(self, *args, env=None, timeout=120, program=None):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("QEMU_")} | (env or {})
        p = subprocess.run([str(program or self.program), *map(str, args)], capture_output=True, timeout=timeout, env=environment, cwd=self.dir)
        return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")

    def native(self, name, args, env):
        """What the x86-64 program does on the host."""
        key = name, *args
        if key not in self.expected:
            self.expected[key] = self.run(*args, env=env, program=self.compile("x86_64", name))
        return self.expected[key]

    def same(self, guest, name, link, args=(), env=None, options=()):
        expected = self.native(name, args, env)
        program = self.compile(guest, name, link)
        got = self.run("user", *options, program, *args, env=env)
        for what, e, g in zip(("status", "output", "errors"), expected, got):
            if e != g:
                lines = [f"- {a}\n+ {b}" for a, b in zip(str(e).split("\n"), str(g).split("\n")) if a != b]
                check(False, f"{guest} {link}: another {what}:\n" + "\n".join(lines[:12]) + f"\nstatus {got[0]}, errors {got[2][-400:]!r}")


def make_tests():
    for name in ("hello", "signals", "threads", "processes", "memory", "proc"):
        for guest in GUESTS:
            for link in LINKS:
                # One static-pie a CPU is enough; Debian's MIPS compilers can't make one.
                if link == "static-pie" and (name != "hello" or guest.startswith("mips")):
                    continue

                def test(t, name=name, guest=guest, link=link):
                    args = ("one", "", "three words here") if name == "hello" else ()
                    t.same(guest, name, link, args, {"TEST_VARIABLE": "a value"} if name in ("hello", "proc") else None)
                globals()[f"test_{name}_{guest}_{link.replace('-', '_')}"] = test


make_tests()


def variant(name, guest, flags, options):
    def test(t):
        expected = t.native(name, (), None)
        program = t.compile(guest, name + "".join(flags), "static", source=HERE / f"{name}.c", flags=flags)
        got = t.run("user", *options, program)
        check(got == expected, f"{guest} {' '.join(flags)}: {got[0]} {got[2][-300:]!r}\n{got[1]}\nnot\n{expected[1]}")
    return test


# Instruction sets besides the usual ones: MIPS16, the DSP module, vectors with floating-point registers of 64 bits.
for guest in ("mipsel", "mips"):
    for name, flags, options in (("mips16", ["-mips16"], []), ("dsp", ["-mdspr2", "-O3"], ["-cpu", "74Kf"]),
                                 ("msa", ["-mips32r5", "-mfp64", "-mmsa", "-O3"], ["-cpu", "P5600"]), ("fp64", ["-mips32r2", "-mfp64"], [])):
        globals()[f"test_arithmetic_{name}_{guest}"] = variant("arithmetic", guest, flags, options)
    for name, flags, cpu in (("dsp", ["-mdspr2"], "74Kf"), ("msa", ["-mips32r5", "-mfp64", "-mmsa"], "P5600")):
        globals()[f"test_kept_{name}_{guest}"] = variant("kept", guest, flags, ["-cpu", cpu])
    globals()[f"test_unaligned_{guest}"] = variant("unaligned", guest, [], [])
test_unaligned_mips64el = variant("unaligned", "mips64el", [], [])


def test_frames(t):
    """Fields of frames, against the host's kernel."""
    for guest in ("x86_64", "i386"):
        program = t.compile(guest, "frames", flags=("-fno-pie", "-no-pie"))
        expected, got = t.run(program=program), t.run("user", program)
        check(expected[0] == 0 and "signal" in expected[1], f"the host does not run {guest}: {expected}")
        check(got == expected, f"{guest}: " + "\n".join(f"- {a}\n+ {b}" for a, b in zip(expected[1].split("\n"), got[1].split("\n")) if a != b)
              + f"\n{got[0]} {got[2]}")


def test_float_modes(t):
    """o32: Status.FR as Linux chooses it by .MIPS.abiflags, and prctl."""
    for guest in ("mipsel", "mips"):
        for option, modes in (("-mfp32", "mode 0"), ("-mfpxx", "mode 1"), ("-mfp64", "mode 1")):
            program = t.compile(guest, f"float_mode{option}", source=HERE / "float_mode.c", flags=("-mhard-float", option, "-lm"))
            status, out, err = t.run("user", program)
            want = "\n".join([modes, "sum 5050.500 product 3628800.000 odd 12.000", "thread: " + modes, "sum 5050.500 product 3628800.000 odd 12.000",
                              "refused FRE", "set FR=1: 0", "mode 1", ""])
            if option == "-mfp64":
                check((status, out, err) == (0, want, ""), f"{guest} {option}: {status} {out}{err}")
            else:
                check((status, out, err) == (0, want.replace("set FR=1", "set FR=0").replace("0\nmode 1\n", "0\nmode 0\nsum 5050.500 product 3628800.000 odd 12.000\n"), ""),
                      f"{guest} {option}: {status} {out}{err}")
        # A CPU without such registers can't run the one, and runs the other with FR=0.
        status, out, err = t.run("user", "-cpu", "24Kc", t.compile(guest, "float_mode-mfp64", source=HERE / "float_mode.c", flags=("-mhard-float", "-mfp64", "-lm")))
        check(status == 126 and "-mfp64" in err and "24Kf" in err, f"{guest}: {status} {err}")


def test_cpu_facts(t):
    """What a program is told of its CPU follows -cpu."""
    source = t.dir / "facts.c"
    source.write_text('#include <stdio.h>\n#include <string.h>\n#include <sys/auxv.h>\n#include <sys/utsname.h>\nint main() { char l[4096]; struct utsname u; uname(&u); FILE* f = fopen("/proc/cpuinfo", "r");\n'
                      'const char* p = (char*)getauxval(AT_PLATFORM); const char* b = (char*)getauxval(AT_BASE_PLATFORM);\n'
                      'printf("%s %s %lx %s\\n", p ? p : "-", b ? b : "-", getauxval(AT_HWCAP), u.machine); while (fgets(l, sizeof l, f)) fputs(l, stdout); }\n')
    for guest, cpu, words, absent in (("x86_64", "Nehalem", ("x86_64 - ", " x86_64\n", "sse4_2", "GenuineIntel", "model\t\t: 26"), ("aes", "sse4.2")),
                                      ("x86_64", "max", ("sse4_2", " aes", "AuthenticAMD", "fxsr"), ("avx",)),
                                      ("i386", "pentium2", ("i686 - ", " i686\n", "cpu family\t: 6", " mmx", " cmov"), (" sse",)),
                                      ("mipsel", "24Kf", ("- mips32r2 ", "mips1 mips2 mips32r1 mips32r2\n"), ("mips64",)),
                                      ("mips", "24Kf", ("MIPS 24Kf V0.0  FPU V0.0\n",), ("mips64",)),
                                      ("mipsel", "P5600", ("ASEs implemented\t:", " msa\n"), ("dsp",)),
                                      ("mips64el", "MIPS64R2-generic", ("- mips64r2 ", " mips64\n", "mips64r1 mips64r2\n"), ("r5",))):
        status, out, err = t.run("user", "-cpu", cpu, t.compile(guest, "facts", source=source))
        check(status == 0 and all(w in out for w in words) and not any(w in out for w in absent), f"{guest} {cpu}: {status} {err}\n{out}")


def test_options(t):
    hello = t.compile("mipsel", "hello")
    status, out, err = t.run("user", "-E", "TEST_ABSENT=1", "-E", "TEST_VARIABLE=set", "-U", "HOME", "-0", "zero", "-s", "1M", hello, "-strace")
    check(status == 7 and "variable: set" in out and "absent: there" in out and "'-strace'" in out, out + err)
    status, out, err = t.run("user", "-strace", hello)
    check(status == 7 and re.search(r"\d+ write\(1,.*\) = \d+", err) and "exit_group(7)" in err, err[-600:])
    status, out, err = t.run("qemu-mipsel", hello)
    check(status == 7 and "half: 0.500" in out, out + err)
    link = t.dir / "qemu-mipsel-static"
    link.symlink_to(t.program)
    status, out, err = t.run(hello, program=link)
    check(status == 7, out + err)


def test_errors(t):
    hello, dynamic = t.compile("mipsel", "hello"), t.compile("mipsel", "hello", "dynamic")
    script = t.dir / "not-executable"
    script.write_text("#!/bin/sh\n")
    garbage = t.dir / "garbage"
    garbage.write_bytes(b"nothing")
    garbage.chmod(0o755)
    arm = t.dir / "arm"
    arm.write_bytes(hello.read_bytes()[:18] + b"\x28\x00" + hello.read_bytes()[20:])
    arm.chmod(0o755)
    empty = t.dir / "empty"
    empty.mkdir()
    for args, status, words in (
            (("qemu-mips", hello), 126, ("MIPS, little-endian", "qemu-mipsel", "doppel user")),
            (("qemu-i386", t.compile("x86_64", "hello")), 126, ("x86-64", "qemu-x86_64")),
            (("user", arm), 126, ("ARM", "mipsel")),
            (("user", "/nowhere"), 127, ("/nowhere", "No such file")),
            (("user", script), 126, ("chmod +x",)),
            (("user", garbage), 126, ("neither an ELF program nor a script",)),
            (("user", empty), 126, ("a folder",)),
            (("user", "-p", "65536", hello), 2, ("4096",)),
            (("user", "-nonsense", "1", hello), 2, ("nonsense", "-help")),
            (("user", "-s", "1x", hello), 2, ("1x",)),
            (("user", "-cpu", "486x", hello), 1, ("486x",)),
            (("user",), 2, ("usage",))):
        got, out, err = t.run(*args)
        check(got == status and all(w in err for w in words), f"{args}: status {got}: {err}")
    # A missing interpreter: with the usual prefix hidden by one that holds nothing.
    code = dynamic.read_bytes().replace(b"/lib/ld.so.1", b"/lib/no.so.1")
    odd = t.dir / "odd"
    odd.write_bytes(code)
    odd.chmod(0o755)
    got, out, err = t.run("user", odd)
    check(got == 127 and "/lib/no.so.1" in err and "-L" in err and "libc6-mipsel-cross" in err, err)


def test_prefix(t):
    dynamic = t.compile("mipsel", "hello", "dynamic")
    for options, env in (((), {}), (("-L", GUESTS["mipsel"][1]), {}), ((), {"QEMU_LD_PREFIX": GUESTS["mipsel"][1]})):
        status, out, err = t.run("user", *options, dynamic, env=env)
        check(status == 7, f"{options} {env}: {status} {err}")


def test_code_cache(t):
    """The second run takes its code from the first one's file, and does the same; so it does with a file that is damaged."""
    for guest in GUESTS:
        for name in ("hello", "processes", "threads") if guest in ("x86_64", "mips") else ("hello",):
            folder = t.dir / f"code-{guest}-{name}"
            program = t.compile(guest, name, "dynamic")
            expected = t.run("user", "-code-cache", "off", program)
            check(not folder.exists(), "off made a folder")

            def same(what):
                got = t.run("user", "-code-cache", folder, program)
                check(got == expected, f"{guest} {name}, {what}: {got}\n{expected}")
                return {f.name: (f.stat().st_mtime_ns, f.stat().st_size) for f in folder.iterdir()}

            first = same("first run")
            check(first and all(size > 10000 for _, size in first.values()), f"{guest}: nothing was kept: {first}")
            second = same("second run")
            if name == "hello":
                check(second == first, f"{guest}: the second run translated again: {first} {second}")
            if name != "hello":
                continue
            check(t.run("user", "-code-cache", "relative", "/bin/sh", "-c", "cd /; exit 3")[0] == 3 and list((t.dir / "relative").iterdir()), "a folder of the directory where it began")
            for path in folder.iterdir():
                data = bytearray(path.read_bytes())
                for at in range(100, len(data), 997):
                    data[at] ^= 0x10
                path.write_bytes(data)
            check(same("damaged") != second, f"{guest}: damage was not noticed")
            for path in folder.iterdir():
                path.write_bytes(path.read_bytes()[:5000])
            same("cut")
            for path in folder.iterdir():
                path.chmod(0o666)
            same("written by others")


def test_deaths(t):
    source = t.dir / "death.c"
    source.write_text("#include <signal.h>\n#include <stdlib.h>\nint main(int c, char** v) { if (c > 1) raise(atoi(v[1])); *(volatile int*)0 = 1; }\n")
    for guest in GUESTS:
        program = t.compile(guest, "death", source=source)
        for number, args in ((signal.SIGSEGV, ()), (signal.SIGTERM, (15,)), (signal.SIGKILL, (9,)), (signal.SIGABRT, (6,))):
            status, out, err = t.run("user", program, *args)
            check(status == -number and err == "", f"{guest}: status {status} {err}")


def test_binfmt(t):
    status, out, err = t.run("binfmt", "--print", "i386", "x86_64", "mips", "mipsel", "mips64el")
    check(status == 0 and out.count("\n") == 5, out + err)
    for line in out.splitlines():
        _, name, kind, offset, magic, mask, interpreter, flags = line.split(":")
        check(kind == "M" and offset == "" and interpreter == f"{t.program}-user" and flags == "PF" and len(line) < 1920, line)
        want = bytes.fromhex(magic.replace("\\x", "")), bytes.fromhex(mask.replace("\\x", ""))
        for guest in GUESTS:
            for link in ("static", "dynamic"):
                head = t.compile(guest, "hello", link).read_bytes()[:len(want[0])]
                hit = all((h & m) == (w & m) for h, w, m in zip(head, *want))
                check(hit == (name == f"doppel-{guest}"), f"{line} and a program of {guest}")
    check(t.run("binfmt", "vax")[0] == 2, "binfmt took vax")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(run_tests("user", globals(), Tester(sys.argv[1]), sys.argv[2:]))
