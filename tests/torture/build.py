"""Compiles gcc's torture tests into batches: static programs of some sixty tests each, of which the first argument chooses one.
All global names of a test get its own prefix, so that tests do not meet. Objects and batches are kept by a hash of all that
goes into them."""
import dataclasses
import fnmatch
import hashlib
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import user_mode

HERE = pathlib.Path(__file__).resolve().parent
BATCH = 64
VERSION = "4"   # of this file: change it when objects must be made anew
TRIPLES = {"i386": "i686-pc-linux-gnu", "x86_64": "x86_64-pc-linux-gnu", "mips": "mips-unknown-linux-gnu",
           "mipsel": "mipsel-unknown-linux-gnu", "mips64el": "mips64el-unknown-linux-gnu"}
WIDE = ("x86_64", "mips64el")


@dataclasses.dataclass(frozen=True)
class Test:
    name: str             # relative to execute/, without .c
    path: pathlib.Path

    @property
    def symbol(self):
        return "T_" + re.sub(r"\W", "_", self.name)


def tests(source):
    """All tests that are one file (or, in builtins/, one with its library), in the order of a hash: any part is a fair sample."""
    root = source / "execute"
    found = [Test(p.relative_to(root).as_posix()[:-2], p) for folder in ("", "ieee", "builtins")
             for p in sorted((root / folder).glob("*.c")) if not p.name.endswith("-lib.c")]
    return sorted(found, key=lambda t: hashlib.sha1(t.name.encode()).digest())


FACTS = {"lp64": WIDE, "int128": WIDE, "ilp32": ("i386", "mips", "mipsel"), "ia32": ("i386",), "dfp": ("i386", "x86_64"),
         "newlib_nano_io": (), "freestanding": (), "vxworks_kernel": ()}


def applies(selector, abi):
    """DejaGnu's { target ... }: triples and effective targets; those that FACTS does not name are there."""
    if "&&" in selector:
        return all(applies(part, abi) for part in selector.split("&&"))
    words = [w for w in re.findall(r'[^\s{}"]+', selector) if w != "target"]
    values = [fnmatch.fnmatch(TRIPLES[abi], w) if "-" in w or "*" in w else abi in FACTS.get(w, TRIPLES) for w in words if w != "!"]
    return (any(values) != ("!" in words)) if values else True


def directives(text):
    """(name, rest) of each dg-NAME in the test's comments."""
    return [(m[1], m[2]) for m in re.finditer(r"\{\s*dg-([\w-]+)\s*([^\n]*?)\s*\}\s*(?:\*/)?\s*$", text, re.M)]


def options(test, abi):
    """Options that the test asks for, or None: it says itself that it is not for this ABI."""
    result = []
    for name, rest in directives(test.path.read_text(errors="replace")):
        target = re.search(r"\{\s*target\s+(.*)\}$", rest)
        if name in ("options", "additional-options"):
            quoted = re.match(r'"([^"]*)"|\{\s*"?([^"{}]*)"?\s*\}', rest)
            if quoted and (not target or applies(target[1], abi)):
                result += (quoted[1] or quoted[2] or "").split()
        elif name == "require-effective-target" and not applies(rest, abi):
            return None
        elif name == "skip-if":
            selector = re.match(r'"[^"]*"\s*\{((?:[^{}]|\{[^{}]*\})*)\}\s*(.*)', rest)
            if selector and applies(selector[1], abi) and (not selector[2] or '"*"' in selector[2].split("}")[0]):
                return None
        elif name == "do" and not rest.startswith("run"):
            return None
    beside = test.path.with_suffix(".x")   # the older way: Tcl
    if beside.exists():
        for line in re.findall(r"^(?:lappend|set) additional_flags (.*)$", beside.read_text(), re.M):
            result += [w for w in line.replace('"', " ").split() if w.startswith("-")]
    return result


class Builder:
    """Batches of one ABI and optimisation level below `cache`."""

    def __init__(self, source, cache, abi, level):
        self.source, self.abi, self.level = source, user_mode.ABIS[abi], level
        self.objects, self.batches = cache / "objects", cache / "batches"
        for folder in (self.objects, self.batches):
            folder.mkdir(parents=True, exist_ok=True)
        self.identity = VERSION + subprocess.run([self.abi.cc, "--version"], capture_output=True, text=True, check=True).stdout

    def _run(self, argv):
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
        return "" if done.returncode == 0 else (done.stderr or f"status {done.returncode}")

    def _flags(self, test):
        own = options(test, self.abi.name)
        if own is None:
            return None
        flags = ["-w", self.level, "-fno-pie", "-fno-diagnostics-show-caret", *self.abi.flags]
        if test.name.startswith("builtins/"):
            flags += ["-fno-tree-dse", "-fno-tree-loop-distribute-patterns", "-fno-tracer", "-fno-ipa-ra", "-fno-inline-functions"]
        if test.name.startswith("ieee/"):
            flags += ["-fno-inline"]
            if self.abi.name == "i386":
                flags += ["-ffloat-store"]
        return flags + own

    def _sources(self, test):
        if not test.name.startswith("builtins/"):
            return [test.path]
        return [test.path, test.path.with_name(test.path.stem + "-lib.c"), test.path.parent / "lib" / "main.c"]

    def object(self, test):
        """(path, reason): the object file with its names prefixed, or why there is none; both None: not for this ABI."""
        flags = self._flags(test)
        if flags is None:
            return None, None
        key = hashlib.sha1((self.identity + " ".join(flags)).encode())
        for s in self._sources(test):
            key.update(s.read_bytes())
        stem = self.objects / f"{test.symbol}.{key.hexdigest()[:16]}"
        made, failed = stem.with_suffix(stem.suffix + ".o"), stem.with_suffix(stem.suffix + ".err")
        if not made.exists() and not failed.exists():
            self._compile(test, flags, stem, made, failed)
        return (made, None) if made.exists() else (None, failed.read_text())

    def _compile(self, test, flags, stem, made, failed):
        parts, joined, names = [], stem.with_suffix(stem.suffix + ".r"), stem.with_suffix(stem.suffix + ".names")
        error = ""
        for number, s in enumerate(self._sources(test)):
            parts.append(stem.with_suffix(f"{stem.suffix}.p{number}"))
            error = error or self._run([self.abi.cc, *flags, "-c", str(s), "-o", str(parts[-1])])
        if not error:   # commons become defined here
            error = self._run([self.abi.prefix + "ld", *self._emulation(), "-r", "-d", *map(str, parts), "-o", str(joined)])
        if not error:
            listed = subprocess.run([self.abi.prefix + "nm", "-g", "--defined-only", str(joined)], capture_output=True, text=True).stdout
            defined = sorted({line.split()[2] for line in listed.splitlines() if len(line.split()) == 3})
            names.write_text("".join(f"{n} {test.symbol}__{n}\n" for n in defined))
            error = self._run([self.abi.prefix + "objcopy", f"--redefine-syms={names}", str(joined), str(made) + ".tmp"])
        if error:
            failed.write_text(error)
        else:
            pathlib.Path(str(made) + ".tmp").rename(made)
        for p in (*parts, joined, names):
            p.unlink(missing_ok=True)

    def _emulation(self):
        return {"i386": ["-m", "elf_i386"], "mips": ["-m", "elf32btsmip"], "mipsel": ["-m", "elf32ltsmip"],
                "mips64el": ["-m", "elf64ltsmip"]}.get(self.abi.name, [])

    def _link(self, tests_and_objects, out):
        table = out.with_suffix(".c")
        lines = [f"int {t.symbol}__main(int, char**, char**);" for t, _ in tests_and_objects]
        lines += ["struct Test { const char* name; int (*run)(int, char**, char**); };", "const struct Test kTests[] = {"]
        lines += [f'  {{"{t.name}", {t.symbol}__main}},' for t, _ in tests_and_objects] + ["  {0, 0}};"]
        table.write_text("\n".join(lines) + "\n")
        error = self._run([self.abi.cc, "-w", "-O1", "-fno-pie", "-no-pie", "-static", *self.abi.flags, str(HERE / "driver.c"), str(table),
                           *(str(o) for _, o in tests_and_objects), "-lm", "-s", "-o", str(out) + ".tmp"])
        table.unlink()
        if not error:
            pathlib.Path(str(out) + ".tmp").rename(out)
        return error

    def batch(self, wanted):
        """(program, tests in it, {test name: why it is not})."""
        good, bad = [], {}
        for t in wanted:
            made, reason = self.object(t)
            if made:
                good.append((t, made))
            elif reason is not None:
                bad[t.name] = reason
        key = hashlib.sha1((self.identity + (HERE / "driver.c").read_text() + " ".join(o.name for _, o in good)).encode()).hexdigest()[:16]
        out, refused = self.batches / f"{self.abi.name}{self.level}.{key}", self.batches / f"{self.abi.name}{self.level}.{key}.refused"
        if not out.exists():
            if good and self._link(good, out):
                self._link_what_goes(good, out, refused)
            elif not good:
                return None, [], bad
        if refused.exists():
            for line in refused.read_text().splitlines():
                name, reason = line.split("\t", 1)
                bad[name] = reason
        return out, [t for t, _ in good if t.name not in bad], bad

    def _link_what_goes(self, good, out, refused):
        trial, goes, lines = out.with_suffix(".trial"), [], []
        for pair in good:
            error = self._link([pair], trial)
            if error:
                lines.append(f"{pair[0].name}\t{' '.join(error.split())[-300:]}")
            else:
                goes.append(pair)
        trial.unlink(missing_ok=True)
        refused.write_text("\n".join(lines) + "\n")
        error = self._link(goes, out)
        if error:
            raise SystemExit(f"{out}: each test links alone, all together don't: {error[-1500:]}")


def batches(all_tests):
    """Tests in groups; one whose code runs before main() is alone."""
    alone = [t for t in all_tests if re.search(r"\b(con|de)structor\b", t.path.read_text(errors="replace"))]
    others = [t for t in all_tests if t not in alone]
    return [others[i:i + BATCH] for i in range(0, len(others), BATCH)] + [[t] for t in alone]
