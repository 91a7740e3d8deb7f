#!/usr/bin/env python3
"""Report of file sizes and preprocessor conditions; fails over the budgets of docs (STYLE: files under 1,000 lines, 20 `#if`s)."""
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUDGET_IF = 20
LIMIT = 1000


def main():
    sizes, ifs, bad = [], [], []
    names = subprocess.run(["git", "ls-files", "src", "tools", "tests", "bench"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for folder in ("src", "tools", "tests", "bench"):
        for rel in names:
            file = ROOT / rel
            if file.suffix not in (".h", ".cpp") or not rel.startswith(folder + "/") or not file.exists():
                continue
            lines = file.read_text().splitlines()
            sizes.append((len(lines), rel))
            if len(lines) > LIMIT:
                bad.append(f"{rel}: {len(lines)} lines (limit {LIMIT})")
            os_file = "base/os/" in rel or re.search(r"_(linux|posix|macos|win32)\.(cpp|h)$", rel)
            for number, line in enumerate(lines, 1):
                if re.match(r"\s*#\s*(if|ifdef|ifndef|elif)\b", line) and not os_file and folder == "src":
                    ifs.append(f"{rel}:{number}: {line.strip()}")
    values = sorted(n for n, _ in sizes)
    print(f"files {len(values)}, lines {sum(values)}, median {statistics.median(values):.0f}, "
          f"p90 {values[int(len(values) * 0.9)]}, max {values[-1]}")
    for n, rel in sorted(sizes, reverse=True)[:8]:
        print(f"  {n:5} {rel}")
    print(f"#if outside base/os: {len(ifs)} of {BUDGET_IF}")
    print("\n".join("  " + i for i in ifs))
    if len(ifs) > BUDGET_IF:
        bad.append(f"{len(ifs)} #if (budget {BUDGET_IF})")
    print("\n".join(bad))
    return 1 if bad else 0


sys.exit(main())
