#!/usr/bin/env python3
"""Random MIPS instructions under doppel's user mode and under Debian's qemu-user, which is the reference: run.py EMULATOR
[KIND...] [--count N] [--seed N]. EMULATOR is doppel, or the word qemu (proves the harness). Kinds: mips, mipsel (o32, 32 registers
of 32 bits for floating point), mips-fr1, mipsel-fr1 (of 64 bits), mips64el (with paired single), mips-dsp, mipsel-dsp, mips-16, mipsel-16, mips-msa, mipsel-msa."""
import collections
import concurrent.futures
import hashlib
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import user_mode

KINDS = {
    "mips": ("mips", ["-mips32r2", "-mfp32", "-DFR0"]),
    "mipsel": ("mipsel", ["-mips32r2", "-mfp32", "-DFR0"]),
    "mips-fr1": ("mips", ["-mips32r2", "-mfp64"]),
    "mipsel-fr1": ("mipsel", ["-mips32r2", "-mfp64"]),
    "mips64el": ("mips64el", ["-mips64r2"]),
    "mips-dsp": ("mips", ["-mips32r2", "-mfp32", "-DFR0", "-mdspr2", "-DDSP"]),
    "mips-16": ("mips", ["-mips32r2", "-mfp32", "-DFR0", "-DMIPS16"]),
    "mipsel-16": ("mipsel", ["-mips32r2", "-mfp32", "-DFR0", "-DMIPS16"]),
    "mips-msa": ("mips", ["-mips32r5", "-mfp64", "-mmsa", "-DMSA"]),
    "mipsel-msa": ("mipsel", ["-mips32r5", "-mfp64", "-mmsa", "-DMSA"]),
    "mipsel-dsp": ("mipsel", ["-mips32r2", "-mfp32", "-DFR0", "-mdspr2", "-DDSP"]),
}
DEFAULT = tuple(KINDS)
# Of both; QEMU's default one for mips64el has an FCSR that can't be written.
CPUS = {"mips64el": ["-cpu", "MIPS64R2-generic"], "mips-dsp": ["-cpu", "74Kf"], "mipsel-dsp": ["-cpu", "74Kf"],
        "mips-16": ["-cpu", "24Kf"], "mipsel-16": ["-cpu", "24Kf"], "mips-msa": ["-cpu", "P5600"], "mipsel-msa": ["-cpu", "P5600"]}
SHOWN = 5   # differences shown in full, a kind
QUICK, FULL, PIECE = 4000, 400000, 20000


def claim_nan2008(path, big):
    """Sets EF_MIPS_NAN2008, which a P5600 asks for; Debian has no library of that kind to link with -mnan=2008."""
    data = bytearray(open(path, "rb").read())
    data[36 + (2 if big else 1)] |= 4
    open(path, "wb").write(data)


def compiled(kind):
    abi, flags = KINDS[kind]
    cc = user_mode.ABIS[abi].cc
    rows = user_mode.ROOT / "src" / "guest" / "mips" / "decode"
    sources = [HERE / "mips.c", HERE / "mips_enter.S", HERE / "mips16.h", *sorted(rows.glob("*.inc"))]
    key = hashlib.sha1(" ".join(flags).encode() + b"".join(s.read_bytes() for s in sources)).hexdigest()[:12]
    out = user_mode.ROOT / "build" / "random" / f"{kind}.{key}"
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([cc, "-O2", "-Wall", "-Wextra", "-static", "-fno-pie", "-no-pie", *flags, f"-I{rows}", str(sources[0]), str(sources[1]), "-o", f"{out}.tmp"], check=True)
        if "-DMSA" in flags:
            claim_nan2008(f"{out}.tmp", abi == "mips")
        os.rename(f"{out}.tmp", out)
    return out


def results(command, program, seed, count, show=False):
    """{seed: lines}; a program that dies leaves the rest out and says so under the seed -1."""
    done = subprocess.run([*command, str(program), str(seed), str(count), *(["show"] if show else [])], capture_output=True, text=True, errors="replace", timeout=1800)
    found, current = {}, None
    for line in done.stdout.splitlines():
        if line.startswith("  "):
            current.append(line)
        else:
            number, value = line.split()
            current = found[int(number)] = [value]
    if done.returncode:
        found[-1] = [f"ended with {done.returncode}: {done.stderr.strip()[-300:]}"]
    return found


def difference(ours, theirs, program, seed):
    """The instructions and the lines in which the two differ; the names of the instructions that were run."""
    a, b = results(ours, program, seed, 1, True).get(seed, []), results(theirs, program, seed, 1, True).get(seed, [])
    code = [line for line in b if re.match(r"  \+", line)]
    lines = [f"{x.strip()}   (reference: {y.strip()})" for x, y in zip(a, b) if x != y and not re.match(r"[0-9a-f]{16}$", x)]
    return code, lines



def kind_test(program, kind, first, count, pool):
    abi = KINDS[kind][0]
    binary, ours, theirs = compiled(kind), user_mode.emulator(program, abi) + CPUS.get(kind, []), user_mode.qemu(abi) + CPUS.get(kind, [])
    pieces = [(s, min(PIECE, first + count - s)) for s in range(first, first + count, PIECE)]
    if program == "qemu":
        ours = theirs
    both = list(pool.map(lambda p: (results(ours, binary, *p), results(theirs, binary, *p)), pieces))
    failed, shown, blamed = 0, 0, collections.Counter()
    for mine, reference in both:
        if -1 in reference:
            raise SystemExit(f"{kind}: the reference {reference[-1][0]}")
        if -1 in mine:
            last = max(mine)
            print(f"FAIL  random/{kind}: {mine[-1][0]} after seed {last}", flush=True)
        for seed in sorted(reference):
            if mine.get(seed) == reference[seed]:
                continue
            failed += 1
            if shown < SHOWN or failed <= 200:
                code, lines = difference(ours, theirs, binary, seed)
                names = [line.split()[2] for line in code[:-2]]
                blamed[names[-1] if len(names) == 1 else "(several)"] += 1
                if shown < SHOWN:
                    shown += 1
                    print(f"FAIL  random/{kind} seed {seed}\n      " + "\n      ".join([c.strip() for c in code] + lines[:12]), flush=True)
    print(f"{'ok   ' if not failed else 'FAIL '} random/{kind}: {count - failed} of {count} alike"
          + (f"; single instructions that differ: {dict(blamed.most_common(20))}" if failed else ""), flush=True)
    return failed


def main():
    words = sys.argv[1:]
    value = lambda name, otherwise: int(words[words.index(name) + 1]) if name in words else otherwise
    count = value("--count", FULL if os.environ.get("DOPPEL_TEST_FULL") else QUICK)
    seed = value("--seed", 1)
    program, *kinds = [w for i, w in enumerate(words) if not w.startswith("--") and not (i and words[i - 1] in ("--count", "--seed"))]
    if why := user_mode.missing(program):
        print(f"ok    random: skipped: {why}\n0 passed, 0 failed")
        return 0
    os.nice(10)
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for kind in kinds or DEFAULT:
            bad += bool(kind_test(program, kind, seed, count, pool))
    print(f"{len(kinds or DEFAULT) - bad} passed, {bad} failed")
    return 1 if bad else 0


sys.exit(main())
