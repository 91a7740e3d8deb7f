#!/usr/bin/env python3
"""Real programs in user mode: run.py EMULATOR [WORD...]. Debian's packages of each CPU, unpacked into trees (scripts/guests/programs.sh)
and run under -L, and a program of the test's own (own.c) for all five ABIs. Each must print what it prints on real hardware.
EMULATOR is doppel, or the word qemu (Debian's qemu-user), or native (x86 only: proves the expectations)."""
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import expected
import user_mode
from harness import GUESTS, check, run_tests

DEBIAN = [a for a in user_mode.ABIS.values() if a.debian]
LOADERS = {"i386": "lib/ld-linux.so.2", "amd64": "lib64/ld-linux-x86-64.so.2"}
PYTHON_MODULES = {"json": [], "re": [], "decimal": [], "threading": [],   # and tests left out
                  "socket": ["ThreadedVSOCK*"]}                           # hangs on hosts that are virtual machines themselves


class Programs:
    def __init__(self, program):
        self.program = program
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="doppel-programs."))

    def command(self, abi, prefix, program):
        if self.program != "native":
            return [*user_mode.emulator(self.program, abi.name), "-L", str(prefix), str(program)]
        libraries = ":".join(str(p) for p in [*prefix.glob("usr/lib/*-linux-gnu"), *prefix.glob("usr/lib/*-linux-gnu/perl*/*/CORE")])
        return [str(prefix / LOADERS[abi.debian]), "--library-path", libraries, str(program)]

    def run(self, abi, tree, path, *args, text="", timeout=600, cwd=None, status=0, env=()):
        """A program of the tree; what it printed on standard output."""
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.dir), "LC_ALL": "C", "TMPDIR": str(self.dir), **dict(env)}
        argv = [*self.command(abi, tree, tree / path), *map(str, args)]
        try:
            done = subprocess.run(argv, input=text.encode(), capture_output=True, timeout=timeout, cwd=cwd or self.dir, env=environment)
        except subprocess.TimeoutExpired as e:
            check(False, f"{' '.join(argv)}: not done after {timeout} s: {(e.stdout or b'')[-500:]!r} {(e.stderr or b'')[-500:]!r}")
        said = done.stdout.decode(errors="replace")
        check(done.returncode == status, f"{' '.join(argv)}: status {done.returncode} instead of {status}\n{said[-1500:]}\n"
              + done.stderr.decode(errors="replace")[-1500:])
        return said


def same(got, want):
    check(got == want, f"printed\n{got}\ninstead of\n{want}")


def tree(kind, abi):
    subprocess.run([str(user_mode.ROOT / "scripts" / "guests" / "programs.sh"), kind, abi.debian], check=True)
    return GUESTS / (f"programs-small-{abi.debian}" if kind == "small" else f"programs-{abi.debian}")


# --- the test's own program
def own(abi, static):
    sources = HERE / "own.c"
    key = hashlib.sha1(sources.read_bytes()).hexdigest()[:12]
    out = user_mode.ROOT / "build" / "own" / f"{abi.name}{'-static' if static else ''}.{key}"
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        how = ["-static", "-DSTATIC"] if static else []
        subprocess.run([abi.cc, "-O2", "-Wall", "-Wextra", "-pthread", *how, str(sources), "-o", f"{out}.tmp", "-lm", "-ldl"], check=True)
        os.rename(f"{out}.tmp", out)
    return out


def cross_prefix(abi):
    if abi.name == "i386":   # the cross libc's loader would take the host's own 32-bit libc from ld.so.cache
        return tree("small", abi)
    return pathlib.Path("/usr") / abi.prefix.removesuffix("-") if abi.name != "x86_64" else pathlib.Path("/")


def own_test(abi, static):
    def test(t):
        program = own(abi, static)
        if t.program == "native":
            if abi.name not in ("x86_64", "i386"):
                return
            prefix = []
        else:
            prefix = [*user_mode.emulator(t.program, abi.name), *([] if static else ["-L", str(cross_prefix(abi))])]
        done = subprocess.run([*prefix, str(program), str(program)], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        bad = [line for line in done.stdout.splitlines() if not line.startswith("ok ")]
        check(done.returncode == 0 and not bad and len(done.stdout.splitlines()) == 15, f"status {done.returncode}\n{done.stdout}{done.stderr[-800:]}")
    return test


# --- Debian's programs
def bash(kind):
    return lambda t, abi: same(t.run(abi, tree(kind, abi), "bin/bash", "-c", expected.BASH), expected.BASH_OUT)


def perl(t, abi):
    same(t.run(abi, tree("full", abi), "usr/bin/perl", "-e", expected.PERL), expected.PERL_OUT)


def sqlite(t, abi):
    root = tree("full", abi)
    file = t.dir / f"{abi.name}.db"
    same(t.run(abi, root, "usr/bin/sqlite3", file, text=expected.SQL), expected.SQL_OUT)
    same(t.run(abi, root, "usr/bin/sqlite3", file, "select count(*) from t;"), "4000\n")


def python(module):
    def test(t, abi):
        root = tree("full", abi)
        left_out = [w for name in PYTHON_MODULES[module] for w in ("-i", name)]
        said = t.run(abi, root, "usr/bin/python3.11", "-m", "test", *left_out, f"test_{module}", timeout=3000)
        check(re.search(r"^(Result|Tests result): SUCCESS$", said, re.M), said[-1500:])
    return test


def openssl(t, abi):
    root, data = tree("full", abi), t.dir / "data"
    data.write_bytes(bytes((i * i >> 3) & 255 for i in range(1 << 20)))
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    check(digest in t.run(abi, root, "usr/bin/openssl", "dgst", "-sha256", data), "another SHA-256")
    t.run(abi, root, "usr/bin/openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-k", "word", "-in", data, "-out", t.dir / "sealed")
    t.run(abi, root, "usr/bin/openssl", "enc", "-d", "-aes-256-cbc", "-pbkdf2", "-k", "word", "-in", t.dir / "sealed", "-out", t.dir / "opened")
    check((t.dir / "opened").read_bytes() == data.read_bytes(), "what was encrypted is not what comes back")
    t.run(abi, root, "usr/bin/openssl", "genrsa", "-out", t.dir / "key", "1024")
    t.run(abi, root, "usr/bin/openssl", "dgst", "-sha1", "-sign", t.dir / "key", "-out", t.dir / "signature", data)
    t.run(abi, root, "usr/bin/openssl", "rsa", "-in", t.dir / "key", "-pubout", "-out", t.dir / "public")
    check("Verified OK" in t.run(abi, root, "usr/bin/openssl", "dgst", "-sha1", "-verify", t.dir / "public", "-signature", t.dir / "signature", data), "not verified")
    said = t.run(abi, root, "usr/bin/openssl", "speed", "-seconds", "1", "-bytes", "1024", "sha256", "aes-128-cbc")
    check(re.search(r"^sha256 +[\d.]+k", said, re.M | re.I) and re.search(r"^aes-128-cbc +[\d.]+k", said, re.M | re.I), said)


def gcc(t, abi):
    root, source, made = tree("full", abi), t.dir / "p.c", t.dir / f"p-{abi.name}"
    source.write_text(expected.C_PROGRAM)
    t.run(abi, root, "usr/bin/gcc", "-O2", "-Wall", source, "-o", made, "-lm")
    same(t.run(abi, root, made, "word", status=17), expected.C_OUT)


def sevenzip(t, abi):
    root, folder, archive = tree("full", abi), t.dir / f"7z-{abi.name}", t.dir / f"{abi.name}.7z"
    folder.mkdir()
    for i in range(20):
        (folder / f"file {i}").write_bytes((b"line %d of some text\n" % i) * (i * 50) + os.urandom(i * 100))
    t.run(abi, root, "usr/bin/7zz", "a", "-mx=3", "-mmt=2", archive, folder)
    check("Everything is Ok" in t.run(abi, root, "usr/bin/7zz", "t", archive), "the archive is not whole")
    t.run(abi, root, "usr/bin/7zz", "x", f"-o{t.dir}/out-{abi.name}", archive)
    for f in folder.iterdir():
        check((t.dir / f"out-{abi.name}" / folder.name / f.name).read_bytes() == f.read_bytes(), f"{f.name} came back changed")


def git(t, abi):
    root, origin, clone = tree("full", abi), t.dir / f"origin-{abi.name}", t.dir / f"clone-{abi.name}"
    me = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}
    host = lambda *a: subprocess.run(["git", "-C", str(origin), *a], check=True, capture_output=True, text=True, env={**os.environ, **me}).stdout
    origin.mkdir()
    host("init", "-q", "-b", "main")
    for i in range(12):
        (origin / f"f{i % 5}").write_text(f"{i}\n" * (i * 37 + 1))
        host("add", "-A")
        host("commit", "-q", "-m", f"commit {i}")
    t.run(abi, root, "usr/bin/git", "clone", "-q", f"file://{origin}", clone)
    t.run(abi, root, "usr/bin/git", "-C", clone, "fsck", "--full")
    same(t.run(abi, root, "usr/bin/git", "-C", clone, "log", "--format=%H %s"), host("log", "--format=%H %s"))
    same(t.run(abi, root, "usr/bin/git", "-C", clone, "status", "--porcelain"), "")


PROGRAMS = {"bash": bash("full"), "perl": perl, "sqlite": sqlite, "openssl": openssl, "gcc": gcc, "7zip": sevenzip, "git": git,
            **{f"python_{m}": python(m) for m in PYTHON_MODULES}}


def all_tests(program):
    result = {}
    for abi in user_mode.ABIS.values():
        for static in (True, False):
            result[f"test_own_{abi.name}_{'static' if static else 'dynamic'}"] = own_test(abi, static)
    for abi in DEBIAN:
        if program == "native" and abi.debian not in LOADERS:
            continue
        result[f"test_bash_{abi.name}"] = lambda t, abi=abi: bash("small")(t, abi)
        for name, test in PROGRAMS.items():
            result[f"test_full_{name}_{abi.name}"] = lambda t, abi=abi, test=test: test(t, abi)
    return result


def main():
    program, *words = sys.argv[1:]
    if program != "native" and (why := user_mode.missing(program)):
        print(f"ok    programs: skipped: {why}\n0 passed, 0 failed")
        return 0
    os.nice(10)
    return run_tests("programs", all_tests(program), Programs(program), words)


sys.exit(main())
