#!/usr/bin/env python3
"""clang-tidy over the tree: scripts/lint_tidy.py BUILD_FOLDER [FILE...]

Checks are in .clang-tidy. A file that was clean is not looked at again until it, a header of the project that it includes (as
ninja knows from the last build) or the checks change: BUILD_FOLDER/tidy.json remembers. As many at a time as there are CPUs.
Prints each finding, then `N files clean, N with findings`."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def project_headers():
    return {f.resolve() for f in (ROOT / "src").rglob("*") if f.suffix in (".h", ".inc", ".def")}


def includes(build):
    """Source file -> the project's headers that its object was made from."""
    text = subprocess.run(["ninja", "-C", str(build), "-t", "deps"], capture_output=True, text=True).stdout
    out = {}
    for block in text.split("\n\n"):
        files = [(build / line.strip()).resolve() for line in block.splitlines()[1:]]
        if files:
            out[files[0]] = [f for f in files[1:] if f.is_relative_to(ROOT)]
    return out


def digest(file, headers):
    h = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    for f in [file, *sorted(headers)]:
        h.update(str(f.relative_to(ROOT)).encode() + f.read_bytes() if f.exists() else b"gone")
    return h.hexdigest()


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
    known_includes, all_headers = includes(build), project_headers()
    digests = {f: digest(f, known_includes.get(f, all_headers)) for f in wanted}
    todo = [f for f in wanted if f in known and cache.get(str(f)) != digests[f]]
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for file, text in zip(todo, pool.map(lambda f: tidy(build, f), todo)):
            if text:
                bad += 1
                print(re.sub(re.escape(str(ROOT)) + "/", "", text), flush=True)
            else:
                cache[str(file)] = digests[file]
                cache_file.write_text(json.dumps(cache, indent=0))
    cache_file.write_text(json.dumps(cache, indent=0))
    print(f"{len(wanted) - bad} files clean, {bad} with findings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
