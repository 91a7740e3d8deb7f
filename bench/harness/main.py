#!/usr/bin/env python3
"""The benchmark's command line; bench/run prepares everything and starts this."""
import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys

import alternate
import chart
import report
import workloads as tables

ROOT = tables.BENCH.parent


def options():
    p = argparse.ArgumentParser(prog="bench/run", description="CPU time of doppel, QEMU (TCG) and the host on the same programs.")
    p.add_argument("--runs", type=int, default=5, metavar="N", help="runs, in alternating order (default 5)")
    p.add_argument("--quick", action="store_true", help="one run")
    p.add_argument("--machines", default="i386,amd64", metavar="A,B", help="i386 and/or amd64 (default both)")
    p.add_argument("--only", metavar="NAME,...", help="only these workloads or classes (the boot is always measured)")
    p.add_argument("--cpu", metavar="MODEL", help="CPU model of both emulators (default: i386 pentium3, amd64 qemu64)")
    p.add_argument("--ours", default=f"{ROOT}/build/release/doppel {{program}}", metavar="CMD",
                   help="our side; {program} becomes qemu-system-i386 or qemu-system-x86_64 (default: build/release/doppel {program})")
    p.add_argument("--theirs", default="{program}", metavar="CMD", help="the other side (default: {program})")
    p.add_argument("--timeout", type=float, default=90, metavar="S", help="give a silent guest up after this time (default 90 s)")
    p.add_argument("--out", type=pathlib.Path, default=tables.BENCH / "out", metavar="DIR", help="where JSON, SVG and text go (default bench/out)")
    p.add_argument("--name", default="latest", help="name of the result files (default latest)")
    p.add_argument("--check", action="store_true", help="exit with 1 when a gate is missed")
    p.add_argument("--show", type=pathlib.Path, metavar="JSON", help="print the tables of an earlier run, measure nothing")
    p.add_argument("--list", action="store_true", help="list the workloads")
    return p.parse_args()


def usage_error(text):
    print(f"bench: {text}", file=sys.stderr)
    sys.exit(2)


def choose(args):
    machines = []
    for name in args.machines.split(","):
        if name not in tables.MACHINES:
            usage_error(f"no such machine: {name} (there are {', '.join(tables.MACHINES)})")
        machines.append(tables.MACHINES[name])
    rows = tables.load()
    if args.only:
        wanted = args.only.split(",")
        for name in wanted:
            if name not in tables.GROUPS and name not in [w.name for w in rows]:
                usage_error(f"no such workload or class: {name} (bench/run --list shows them)")
        rows = [w for w in rows if w.name in wanted or w.group in wanted]
    return machines, rows


def version(template, program):
    try:
        out = subprocess.run([*template.format(program=program).split(), "--version"], capture_output=True, text=True, timeout=20).stdout
        return out.splitlines()[0] if out else "unknown version"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not start: {error}"


def host_cpu():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown CPU"


def facts(args, machines):
    program = machines[0].program
    theirs = version(args.theirs, program)
    load = os.getloadavg()[0]
    return {
        "date": datetime.datetime.now().isoformat(" ", "seconds"),
        "host_cpu": host_cpu(),
        "host_cpus": os.cpu_count(),
        "load": load,
        "busy": load > 0.5,
        "runs": args.runs,
        "cpus": {m.name: args.cpu or m.cpu for m in machines},
        "machines": [m.name for m in machines],
        "theirs_version": theirs,
        "theirs": f"{args.theirs}: {theirs}",
        "ours": f"{args.ours}: {version(args.ours, program)}",
    }


def main():
    args = options()
    if args.show:
        try:
            document = json.loads(args.show.read_text())
        except (OSError, ValueError) as error:
            usage_error(f"{args.show}: {error}")
        print(report.text_of(document, [tables.MACHINES[n] for n in document["facts"]["machines"]]))
        return 0
    machines, rows = choose(args)
    if args.list:
        for w in rows:
            print(f"{w.name:<16}{w.group:<12}{w.machines:<7}{w.needs:<6}{w.command}")
        return 0
    if args.quick:
        args.runs = 1
    builds = {m.name: tables.BENCH / "out" / "build" / m.name for m in machines}
    measured = alternate.Measurements(args)
    known = facts(args, machines)
    measured.execute(machines, rows, builds)
    document = report.build_document(measured, machines, rows, known)
    text = report.text_of(document, machines)
    args.out.mkdir(parents=True, exist_ok=True)
    report.write_json(args.out / f"{args.name}.json", document)
    (args.out / f"{args.name}.svg").write_text(chart.svg(document))
    (args.out / f"{args.name}.txt").write_text(text + "\n")
    print(text)
    print(f"\n{args.out / args.name}.json, .svg, .txt")
    missed = [e for e in document["gates"] if e["gate"] is not None and not e["passed"]]
    return 1 if args.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
