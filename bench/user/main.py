#!/usr/bin/env python3
"""The benchmark of user mode; bench/user/run prepares everything and starts this. The measure is the CPU time, user and system, of
the emulator's process and its children; runs alternate (QEMU, doppel, doppel, QEMU, ...)."""
import argparse
import dataclasses
import hashlib
import json
import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).resolve().parent
BENCH = HERE.parent
sys.path[:0] = [str(BENCH / "harness"), str(BENCH.parent / "tests")]
import main as system_main
import native
import report
import summary
import user_mode
import workloads as tables
from guest import Sample

SIDES = ("qemu", "ours")
STARTS = 20
CODE_CACHE = BENCH / "out" / "code-cache"
X86 = ("x86_64", "i386")
# Class -> (gate on x86, gate on MIPS, title): QEMU's CPU time over ours.
GROUPS = {
    "integer": (2.0, None, "integer"), "compile": (2.0, None, "compile"), "memory": (None, 1.5, "memory"), "calls": (2.5, 1.5, "calls"),
    "scalar-fp": (6.0, 4.0, "scalar FP"), "simd": (10.0, None, "SIMD"), "start": (2.0, 2.0, "start"), "first": (None, None, "first run"), "string": (None, None, "string"),
    "switch": (None, None, "switch"), "system": (None, None, "system"), "translate": (None, None, "translate"),
}


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    group: str
    machines: str
    command: str

    def on(self, machine):
        return self.machines in ("all", machine) or self.machines == ("x86" if machine in X86 else "mips")


def load():
    rows = [Workload(*line.split("|", 3)) for line in (HERE / "workloads.txt").read_text().splitlines() if line and not line.startswith("#")]
    for row in rows:
        if row.group not in GROUPS:
            raise SystemExit(f"bench: workloads.txt: {row.name}: no such class: {row.group}")
    return rows


class Machine:
    def __init__(self, name):
        self.name, self.out = name, BENCH / "out" / "user" / name
        self.prefix = pathlib.Path("/usr") / user_mode.ABIS[name].prefix.removesuffix("-") if name != "x86_64" else None

    def emulator(self, side, options):
        template = options.theirs if side == "qemu" else options.ours
        if template:
            return template.format(program=f"qemu-{self.name}").split()
        return user_mode.qemu(self.name) if side == "qemu" else user_mode.emulator(BENCH.parent / "build" / "release" / "doppel", self.name)

    def _cc1(self):
        if self.name == "x86_64":
            return None, pathlib.Path("/usr/lib/gcc/x86_64-linux-gnu/12/cc1")
        tree = self.out / "cc1"
        return tree, tree / "usr/lib/gcc/i686-linux-gnu/12/cc1"

    def command(self, workload, emulator):
        """(command line, how often). `emulator` is empty for the host itself."""
        word, _, rest = workload.command.partition(" ")
        under = lambda prefix: [*emulator, *(["-L", str(prefix)] if emulator and prefix else [])]
        if word == "loops":
            return [*under(None), str(self.out / "loops"), *rest.split()], 1
        if word == "static":
            return [*under(None), str(self.out / "loops"), "true"], STARTS
        if word == "dynamic":
            return [*under(self.prefix), str(self.out / "true")], STARTS
        tree, program = self._cc1()
        loader = [] if emulator or not tree else [str(tree / "lib/ld-linux.so.2"), "--library-path", f"{tree}/usr/lib/i386-linux-gnu"]
        return [*under(tree), *loader, str(program), "-quiet", "-w", *rest.split(), str(self.out / "sample.i"), "-o", str(self.out / "sample.s")], 1


def measure(machine, workload, emulator, side):
    if side == "ours":
        emulator = [*emulator, "-code-cache", "off" if workload.group == "first" else str(CODE_CACHE)]
    argv, times = machine.command(workload, emulator)
    total = Sample("ok")
    made = machine.out / "sample.s"
    made.unlink(missing_ok=True)
    for _ in range(times):
        one = native.run_command(argv)
        total = dataclasses.replace(one, cpu=total.cpu + one.cpu, wall=total.wall + one.wall)
        if one.status != "ok":
            break
    if made.exists():   # the compiler's output counts as what it printed
        total.output = f"{made.stat().st_size} bytes, {hash_of(made)}"
    return total


def hash_of(path):
    return hashlib.sha1(path.read_bytes()).hexdigest()[:12]


def run_all(options, machines, rows):
    samples = {m.name: {side: {w.name: [] for w in rows} for side in (*SIDES, "native")} for m in machines}
    for index in range(options.runs):
        for machine in machines:
            mine = [w for w in rows if w.on(machine.name)]
            for workload in mine:
                if index == 0 and workload.group != "first":
                    measure(machine, workload, machine.emulator("ours", options), "ours")   # fills the code cache
                for side in SIDES if index % 2 == 0 else SIDES[::-1]:
                    samples[machine.name][side][workload.name].append(measure(machine, workload, machine.emulator(side, options), side))
                if machine.name in X86:
                    samples[machine.name]["native"][workload.name].append(measure(machine, workload, [], "native"))
            print(f"bench: run {index + 1} of {options.runs}: {machine.name}", file=sys.stderr, flush=True)
    return samples


def gates(rows_by_machine):
    """summary.gates, with the gates of each kind of machine."""
    result = []
    for kind, names in (("x86", X86), ("mips", ("mips", "mipsel"))):
        tables.GROUPS = {g: (x86 if kind == "x86" else mips, f"{title} ({kind})") for g, (x86, mips, title) in GROUPS.items()}
        result += summary.gates({n: r for n, r in rows_by_machine.items() if n in names})
    return result


def text_of(document):
    facts = document["facts"]
    busy = f"\n  note: the host was busy (load {facts['load']:.1f}): figures are noisy" if facts["busy"] else ""
    parts = [f"{facts['date']}  {facts['host_cpu']}  {facts['runs']} run(s)\n  QEMU:   {facts['theirs']}\n  doppel: {facts['ours']}{busy}"]
    tables.GROUPS = {g: (None, title) for g, (_, _, title) in GROUPS.items()}
    parts += [report.table_of(f"{m}, user mode", rows) for m, rows in document["rows"].items()]
    parts += [report.gates_table(document["gates"], [Machine(m) for m in document["rows"]])]
    return "\n\n".join(parts)


def facts(options, machines):
    known = argparse.Namespace(runs=options.runs, cpu="-", theirs=" ".join(machines[0].emulator("qemu", options)), ours=" ".join(machines[0].emulator("ours", options)))
    return system_main.facts(known, [argparse.Namespace(name=m.name, program="") for m in machines])


def main():
    p = argparse.ArgumentParser(prog="bench/user/run", description="CPU time of doppel, QEMU and the host on single programs.")
    p.add_argument("--runs", type=int, default=5, metavar="N", help="runs, in alternating order (default 5)")
    p.add_argument("--quick", action="store_true", help="one run")
    p.add_argument("--machines", default="x86_64,i386,mipsel,mips", metavar="A,B", help="default: x86_64,i386,mipsel,mips")
    p.add_argument("--only", default="", metavar="NAME,...", help="only these workloads or classes")
    p.add_argument("--ours", default="", metavar="CMD", help="our side, which takes -code-cache; {program} becomes qemu-MACHINE (default: build/release/doppel by that name)")
    p.add_argument("--theirs", default="", metavar="CMD", help="the other side (default: {program})")
    p.add_argument("--show", type=pathlib.Path, metavar="JSON", help="print the tables of an earlier run")
    p.add_argument("--list", action="store_true", help="list the workloads")
    options = p.parse_args()
    if options.show:
        print(text_of(json.loads(options.show.read_text())))
        return 0
    rows = load()
    if options.only:
        wanted = options.only.split(",")
        rows = [w for w in rows if w.name in wanted or w.group in wanted]
    if options.list:
        print("\n".join(f"{w.name:<14}{w.group:<12}{w.machines:<8}{w.command}" for w in rows))
        return 0
    if options.quick:
        options.runs = 1
    machines = [Machine(n) for n in options.machines.split(",")]
    if not shutil.which("qemu-x86_64") and not options.theirs:
        raise SystemExit("bench: no qemu-x86_64 on this machine (apt-get install qemu-user)")
    known = facts(options, machines)
    shutil.rmtree(CODE_CACHE, ignore_errors=True)
    samples = run_all(options, machines, rows)
    by_machine = {m.name: [summary.row(w.name, w.group, samples[m.name]["qemu"][w.name], samples[m.name]["ours"][w.name],
                                        samples[m.name]["native"][w.name], True) for w in rows if w.on(m.name)] for m in machines}
    document = {"facts": known, "rows": by_machine, "gates": gates(by_machine)}
    report.write_json(BENCH / "out" / "user.json", document)
    text = text_of(document)
    (BENCH / "out" / "user.txt").write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
