"""From measurements to figures: medians of ratios, groups, gates, memory, translation."""
import math
import re
import statistics

import workloads as tables


def median(values):
    values = [v for v in values if v]
    return statistics.median(values) if values else None


def geometric_mean(values):
    return math.exp(sum(math.log(v) for v in values) / len(values)) if values else None


def spread(values):
    """Largest over smallest."""
    values = [v for v in values if v]
    return max(values) / min(values) if values else None


def _ok(sample):
    return sample is not None and sample.status == "ok" and sample.cpu > 0


def _ratios(theirs, ours):
    return [a.cpu / b.cpu for a, b in zip(theirs, ours) if _ok(a) and _ok(b)]


def _problem(samples, reference):
    """Why a side has no figure: its first status that is not ok, or an output that differs from the reference's."""
    for sample in samples:
        if sample.status != "ok":
            return sample.status
        if reference is not None and sample.output != reference:
            return "WRONG"
    return None if samples else "not-run"


def row(name, group, theirs, ours, natives, needs_same_output):
    reference = next((s.output for s in theirs + natives if s.status == "ok"), None) if needs_same_output else None
    row = {
        "name": name,
        "group": group,
        "native": median([s.cpu for s in natives if _ok(s)]),
        "qemu": median([s.cpu for s in theirs if _ok(s)]),
        "ours": median([s.cpu for s in ours if _ok(s)]),
        "qemu_wall": median([s.wall for s in theirs if _ok(s)]),
        "ours_wall": median([s.wall for s in ours if _ok(s)]),
        "qemu_problem": _problem(theirs, reference),
        "ours_problem": _problem(ours, reference),
        "native_problem": _problem(natives, reference) if natives else None,
        "ratios": _ratios(theirs, ours),
        "output": reference,
        **{f"{side}_output": next((s.output for s in samples if s.status == "ok" and s.output != reference), None)
           for side, samples in (("qemu", theirs), ("ours", ours), ("native", natives))},
    }
    if row["ours_problem"] or row["qemu_problem"]:
        row["ratios"] = []
    row["ratio"] = median(row["ratios"])
    row["spread"] = spread(row["ratios"])
    return row


def rows_for(measured, machine, workload_list):
    """The table of one machine: the boot first, then every workload."""
    boots = measured.boots[machine.name]
    sides = {}
    for side, runs in boots.items():
        sides[side] = [b.boot or _dead_boot() for b in runs]
    rows = [row("boot to shell", "boot", sides["qemu"], sides["ours"], [], False)]
    for w in workload_list:
        if w.on(machine.name):
            s = measured.samples[machine.name]
            rows.append(row(w.name, w.group, s["qemu"][w.name], s["ours"][w.name], measured.natives[machine.name][w.name], True))
    return rows


def _dead_boot():
    from guest import Sample
    return Sample("no boot")


def gates(rows_by_machine):
    """One entry a group: the geometric mean of its workloads' ratios on each machine, the lowest ratio, and the verdict."""
    result = []
    for group, (gate, title) in tables.GROUPS.items():
        entry = {"group": group, "title": title, "gate": gate, "machines": {}, "lowest": None}
        for machine, rows in rows_by_machine.items():
            mine = [r for r in rows if r["group"] == group and not (r["qemu_problem"] == r["ours_problem"] == "skipped")]
            if not mine:
                continue
            measured = [r for r in mine if r["ratio"]]
            entry["machines"][machine] = {
                "ratio": geometric_mean([r["ratio"] for r in measured]),
                "complete": len(measured) == len(mine),
            }
            for r in measured:
                if entry["lowest"] is None or r["ratio"] < entry["lowest"][1]:
                    entry["lowest"] = (f"{machine} {r['name']}", r["ratio"])
        if not entry["machines"]:
            continue
        if gate is not None:
            values = entry["machines"].values()
            entry["passed"] = all(v["complete"] and v["ratio"] and v["ratio"] >= gate for v in values)
        result.append(entry)
    return result


def memory(measured, machine):
    """Peak resident memory in MiB: median of the runs, at the shell and over the whole run."""
    result = {}
    for side, boots in measured.boots[machine.name].items():
        result[side] = {
            "at_shell": median([b.boot_rss_kib / 1024 for b in boots]),
            "peak": median([b.peak_rss_kib / 1024 for b in boots if b.finished]),
        }
    return result


def parse_jit(text):
    """Figures from either emulator's `info jit`; QEMU's says only how many blocks and guest bytes it has."""
    figures = {}
    patterns = {
        "guest_insns": r"guest instructions\s+(\d+)",
        "translate_ms": r"translation time\s+([\d.]+) ms",
        "regions": r"^(?:regions|TB count)\s+(\d+)",
        "host_bytes": r"(?:host code\s+|gen code size\s+)(\d+)",
        "tb_avg_bytes": r"TB avg target size\s+(\d+)",
    }
    for key, pattern in patterns.items():
        values = [float(v) for v in re.findall(pattern, text, re.M)]
        if values:
            figures[key] = sum(values)
    if figures.get("translate_ms"):
        figures["insns_per_second"] = figures["guest_insns"] / (figures["translate_ms"] / 1000)
    return figures


def translation(measured, machine, rows):
    """Per side: what `info jit` says after the boot and at the end, and the cost of new code measured from outside."""
    result = {}
    fresh = next((r for r in rows if r["group"] == "translate"), None)
    for side, boots in measured.boots[machine.name].items():
        entry = {}
        for key, attribute in (("boot", "jit_boot"), ("end", "jit_end")):
            texts = [getattr(b, attribute) for b in boots if getattr(b, attribute)]
            if texts:
                entry[key] = parse_jit(texts[-1])
                entry[key + "_text"] = texts[-1]
                if "translate_ms" in entry[key] and entry[key]["guest_insns"]:
                    entry[key]["cycles_per_insn"] = entry[key]["translate_ms"] / 1000 / entry[key]["guest_insns"] * measured.host_hz
        insns = re.search(r"insns=(\d+)", fresh["output"] or "") if fresh else None
        if insns and fresh[side]:
            entry["new_code"] = {
                "insns": int(insns.group(1)),
                "insns_per_second": int(insns.group(1)) / fresh[side],
                "cycles_per_insn": fresh[side] / int(insns.group(1)) * measured.host_hz,
            }
        result[side] = entry
    return result
