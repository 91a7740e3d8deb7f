#!/usr/bin/env python3
"""clang-tidy over the tree: scripts/lint_tidy.py BUILD_FOLDER [FILE...]

Checks are in .clang-tidy. A file that was clean is not looked at again until it, a header of the project or the checks
change (BUILD_FOLDER/tidy.json remembers). Prints each finding, then `N files clean, N with findings`."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def digest(file, headers):
    h = hashlib.sha256(headers)
    h.update(file.read_bytes())
    return h.hexdigest()


def project_headers():
    """One digest of everything that any file may include, and of the checks."""
    h = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    for file in sorted((ROOT / "src").rglob("*")):
        if file.suffix in (".h", ".inc", ".def"):
            h.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return h.digest()


def tidy(build, file):
    p = subprocess.run(["clang-tidy", "--quiet", "-p", str(build), str(file)], capture_output=True, text=True)
    text = "\n".join(line for line in p.stdout.splitlines() if line.strip())
    if p.returncode and not text:
        text = f"{file}: clang-tidy failed: {p.stderr.strip()[-400:]}"
    return text


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    known = {(ROOT / entry["file"]).resolve() for entry in json.loads((build / "compile_commands.json").read_text())}
    wanted = [pathlib.Path(f).resolve() for f in sys.argv[2:]] or sorted(
        f for f in known if any(f.is_relative_to(ROOT / d) for d in ("src", "tools")))
    cache_file = build / "tidy.json"
    cache = json.loads(cache_file.read_text()) if cache_file.exists() else {}
    headers = project_headers()
    todo = [f for f in wanted if f in known and cache.get(str(f)) != digest(f, headers)]
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for file, text in zip(todo, pool.map(lambda f: tidy(build, f), todo)):
            if text:
                bad += 1
                print(re.sub(re.escape(str(ROOT)) + "/", "", text), flush=True)
            else:
                cache[str(file)] = digest(file, headers)
    cache_file.write_text(json.dumps(cache, indent=0))
    print(f"{len(wanted) - bad} files clean, {bad} with findings")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
