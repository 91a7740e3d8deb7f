#!/usr/bin/env python3
"""System calls of single programs: each .c here, compiled for each ABI, says the same as it does natively on the host.

run.py DOPPEL [NAME...]    NAMEs: of programs (files), of ABIs (mipsel), or of both (files mipsel)
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
import user_mode  # noqa: E402

WORK = user_mode.ROOT / "build" / "user-linux"


def compiled(source, name, cc):
    """The program for one ABI, linked statically: only the system calls are to be tested here."""
    program = WORK / name / source.stem
    program.parent.mkdir(parents=True, exist_ok=True)
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run([cc, "-O1", "-w", "-static", "-pthread", str(source), "-o", str(program), "-lrt"], check=True)
    return program


def output(command):
    """Exit status and lines; a program that hangs is ended and says so."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        return [f"status {done.returncode}"] + done.stdout.decode(errors="replace").splitlines()
    except subprocess.TimeoutExpired:
        return ["no end after 60 s"]


def difference(want, got):
    for at, line in enumerate(want):
        if at >= len(got) or got[at] != line:
            return f"natively `{line}`, here `{got[at] if at < len(got) else ''}`"
    return f"more than natively: `{got[len(want)]}`" if len(got) > len(want) else ""


# What -strace says of `files`, whatever the ABI's numbers are.
STRACE = (
    r'openat\(AT_FDCWD,"a",O_RDWR\|O_CREAT\|O_EXCL\|O_TRUNC,0640\) = 3$',
    r'openat\(AT_FDCWD,"nothing",O_RDONLY\) = -1 errno=2 \(No such file or directory\)$',
    r'mmap2?\(NULL,4096,PROT_READ,MAP_SHARED,4,0x100000(000)?\) = 0x[0-9a-f]+$',
    r'exit_group\(0\)$',
)


def strace(command):
    """The first line that is not there, if any."""
    said = "\n".join(output(command))
    return next((line for line in STRACE if not re.search(r"^\d+ " + line, said, re.MULTILINE)), "")


PREFIX = ["status 0", "open below", "lstat 1", "stat 1", "readlink /doppel-prefix/real", "relative 1", "loop refused",
          "missing No such file or directory", "unlink 1", "host 1"]


def prefix(emulator, name, abi):
    """Paths below -L's prefix."""
    program = compiled(HERE / "prefix" / "prefix.c", name, abi.cc)
    with tempfile.TemporaryDirectory() as folder:
        top = pathlib.Path(folder) / "doppel-prefix"
        (top / "real").mkdir(parents=True)
        (top / "real" / "file").write_text("below")
        (top / "link").symlink_to("/doppel-prefix/real")
        (top / "near").symlink_to("real")
        (top / "loop").symlink_to("/doppel-prefix/loop")
        return difference(PREFIX, output([*user_mode.emulator(emulator, name), "-L", folder, str(program)]))


def main():
    emulator, *words = sys.argv[1:]
    if why := user_mode.missing(emulator):
        print(f"ok    user-linux: skipped: {why}\n0 passed, 0 failed")
        return 0
    os.nice(10)
    passed = failed = 0
    sources = [s for s in sorted(HERE.glob("*.c")) if not set(words) & {x.stem for x in HERE.glob("*.c")} or s.stem in words]
    for source in sources:
        want = output([str(compiled(source, "native", "gcc"))])
        for name, abi in user_mode.ABIS.items():
            if set(words) & set(user_mode.ABIS) and name not in words:
                continue
            got = output([*user_mode.emulator(emulator, name), str(compiled(source, name, abi.cc))])
            text = difference(want, got)
            if source.stem == "files" and not text:
                said = strace([*user_mode.emulator(emulator, name), "-strace", str(compiled(source, name, abi.cc))])
                text = f"-strace has no line like {said}" if said else prefix(emulator, name, abi)
            passed, failed = passed + (not text), failed + bool(text)
            print(f"{'FAIL ' if text else 'ok   '} user-linux/{source.stem}/{name}{': ' if text else ''}{text}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
