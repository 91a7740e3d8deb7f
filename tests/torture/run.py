#!/usr/bin/env python3
"""gcc's torture tests under user mode: run.py EMULATOR [ABI[:-On]...] [--all] [--test WORD]. EMULATOR is doppel, or the word qemu
(Debian's qemu-user: proves the harness). A test is its own process and tells by its status whether it passed.

Quick: the first batches of every ABI; each test must pass. --all (or DOPPEL_TEST_FULL): every test at -O0 and -O2, and besides
what it did (status, output) must be what it does under qemu-user. known.txt names tests that fail for reasons on the compiler's
side, or only under QEMU; one of them that passes is a failure too. Batches and QEMU's results are kept in build/torture."""
import collections
import concurrent.futures
import fnmatch
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import build
import user_mode

CACHE = pathlib.Path(os.environ.get("DOPPEL_TORTURE", user_mode.ROOT / "build" / "torture"))
QUICK = {"-O0": 1, "-O2": 1}   # batches of an ABI in the quick level
TIMEOUT = 60
JOBS = 2


class Known:
    """Rows of known.txt: ABI, level, test (patterns of the shell each), who fails (compiler: everybody; qemu: only QEMU), reason."""

    def __init__(self):
        lines = (HERE / "known.txt").read_text().splitlines()
        self.rows = [line.split(None, 4) for line in lines if line and not line.startswith("#")]

    def reason(self, abi, level, test, who):
        return next((r[4] for r in self.rows if r[3] == who and all(fnmatch.fnmatchcase(v, p) for v, p in zip((abi, level, test), r))), None)


def run_one(command, program, test):
    """Status and a hash of what was printed: 'ok', 'status 1', 'signal 6' or 'time'."""
    try:
        done = subprocess.run([*command, str(program), test], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, env={"PATH": "/usr/bin:/bin"})
    except subprocess.TimeoutExpired:
        return "time", "", ""
    status = "ok" if done.returncode == 0 else f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
    output = re.sub(rb"0x[0-9a-f]+", b"0x", done.stdout)   # addresses
    said = (done.stdout + done.stderr).decode(errors="replace")
    return status, hashlib.sha1(output).hexdigest()[:12], said.strip()[-200:]


class Suite:
    def __init__(self, program, everything):
        self.program, self.everything = program, everything
        self.known = Known()
        self.counts = collections.Counter()
        self.pool = concurrent.futures.ThreadPoolExecutor(JOBS)

    def reference(self, batch, tests):
        """What QEMU does with the tests of a batch: kept beside it."""
        kept = batch.with_suffix(batch.suffix + ".qemu")
        command = user_mode.qemu(self.abi)
        if not kept.exists():
            results = dict(zip((t.name for t in tests), self.pool.map(lambda t: run_one(command, batch, t.name)[:2], tests)))
            kept.write_text(json.dumps(results))
        return {name: tuple(value) for name, value in json.loads(kept.read_text()).items()}

    def report(self, good, name, text=""):
        self.counts[(self.abi, "passed" if good else "failed")] += 1
        if not good:
            print(f"FAIL  torture/{self.abi}{self.level}/{name}: {text}", flush=True)

    def judge(self, test, result, reference):
        status, output, said = result
        reason = self.known.reason(self.abi, self.level, test.name, "compiler")
        if self.known.reason(self.abi, self.level, test.name, "qemu"):   # there QEMU is no reference
            if self.program == "qemu":
                self.counts[(self.abi, "known")] += 1
                return self.report(status != "ok", test.name, "passes under QEMU, but is in known.txt")
            reference = None
        if reference is not None and (status, output) != reference:
            return self.report(False, test.name, f"{status}, under QEMU {reference[0]}{'' if status != reference[0] else ', other output'}: {said}")
        if reason is None:
            return self.report(status == "ok", test.name, f"{status}: {said}")
        if status == "ok":
            return self.report(False, test.name, f"passes, but is in known.txt ({reason})")
        if reference is not None:
            self.report(True, test.name)   # fails as it does under QEMU
        self.counts[(self.abi, "known")] += 1

    def batch(self, builder, wanted):
        program, tests, bad = builder.batch(wanted)
        for name, reason in bad.items():
            if self.known.reason(self.abi, self.level, name, "compiler") is None:
                self.report(False, name, f"does not build: {' '.join(reason.split())[:250]}")
            else:
                self.counts[(self.abi, "not built")] += 1
        if not tests:
            return
        reference = self.reference(program, tests) if self.everything and self.program != "qemu" else {}
        command = user_mode.emulator(self.program, self.abi)
        for test, result in zip(tests, self.pool.map(lambda t: run_one(command, program, t.name), tests)):
            self.judge(test, result, reference.get(test.name))

    def abi_level(self, source, abi, level, word):
        self.abi, self.level = abi, level
        chosen = build.tests(source)
        if word:
            chosen = [t for t in chosen if word in t.name]
        groups = build.batches(chosen)
        if not self.everything and not word:
            groups = groups[:QUICK[level]]
        builder = build.Builder(source, CACHE, abi, level)
        list(self.pool.map(builder.object, [t for g in groups for t in g]))
        for group in groups:
            self.batch(builder, group)

    def summary(self):
        for abi in user_mode.ABIS:
            mine = {k: n for (a, k), n in self.counts.items() if a == abi}
            if mine:
                failed = mine.get("failed", 0)
                print(f"{'ok   ' if not failed else 'FAIL '} torture/{abi}: {mine.get('passed', 0)} passed, {failed} failed, "
                      f"{mine.get('known', 0)} known to fail, {mine.get('not built', 0)} known not to build", flush=True)
        passed = sum(n for (_, k), n in self.counts.items() if k == "passed")
        failed = sum(n for (_, k), n in self.counts.items() if k == "failed")
        print(f"{passed} passed, {failed} failed")
        return 1 if failed else 0


def main():
    words = sys.argv[1:]
    word = words.pop(words.index("--test") + 1) if "--test" in words else ""
    everything = "--all" in words or bool(os.environ.get("DOPPEL_TEST_FULL"))
    program, *wanted = [w for w in words if not w.startswith("--")]
    if why := user_mode.missing(program):
        print(f"ok    torture: skipped: {why}\n0 passed, 0 failed")
        return 0
    os.nice(10)
    source = CACHE / "source"
    subprocess.run([str(HERE / "unpack.sh"), str(source)], check=True)
    suite = Suite(program, everything)
    for pair in wanted or [f"{abi}:{level}" for abi in user_mode.ABIS for level in ("-O2", "-O0")]:
        abi, _, level = pair.partition(":")
        for one in [level] if level else ["-O2", "-O0"]:
            suite.abi_level(source, abi, one, word)
    return suite.summary()


sys.exit(main())
