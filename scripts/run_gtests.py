#!/usr/bin/env python3
"""Runs every GoogleTest program of a build folder; last line: N passed, N failed."""
import pathlib
import re
import subprocess
import sys

passed = failed = 0
for program in sorted(pathlib.Path(sys.argv[1]).glob("test_*")):
    if program.is_dir() or not program.stat().st_mode & 0o100:
        continue
    run = subprocess.run([str(program), "--gtest_brief=0"], capture_output=True, text=True, errors="replace", timeout=1500)
    ok = len(re.findall(r"^\[       OK \]", run.stdout, re.M))
    bad = sorted(set(re.findall(r"^\[  FAILED  \] (\S+?),? \(", run.stdout, re.M)))
    if run.returncode != 0 and not bad:
        bad = [f"died with status {run.returncode}"]
    passed += ok
    failed += len(bad)
    print(f"{'FAIL' if bad else 'ok  '}  {program.name}: {ok} tests" + (f", failed: {', '.join(bad)}" if bad else ""))
    if bad:
        for line in (run.stdout + run.stderr).splitlines()[-60:]:
            print("      " + line)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
