"""Prints the tables and writes the JSON file."""
import dataclasses
import json

import summary
import workloads as tables


def seconds(value, problem=None):
    if problem == "WRONG":
        return "WRONG"
    if value is None:
        return problem or "-"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms" if value < 0.1 else f"{value * 1000:.0f} ms"


def times(value):
    return "-" if value is None else f"{value:.1f}" if value < 99.5 else f"{value:.0f}"


def slowdown(row, side):
    known = row[side] and row["native"] and not row[side + "_problem"]
    return times(row[side] / row["native"] if known else None)


def ratio(value):
    return "-" if value is None else f"{value:.2f}"


def table_of(heading, rows):
    lines = [f"{heading}; CPU time, user and system; medians",
             f"  {'workload':<18}{'native':>10}{'QEMU':>10}{'doppel':>10}{'QEMU/nat':>10}{'dopp/nat':>10}{'QEMU/doppel':>13}{'spread':>8}"]
    for group, (gate, title) in tables.GROUPS.items():
        mine = [r for r in rows if r["group"] == group]
        if mine:
            lines.append(f" {title}" + (f"  (gate {gate})" if gate else ""))
        for r in mine:
            native = r["native"]
            lines.append(
                f"  {r['name']:<18}{seconds(native, r['native_problem']):>10}{seconds(r['qemu'], r['qemu_problem']):>10}"
                f"{seconds(r['ours'], r['ours_problem']):>10}{slowdown(r, 'qemu'):>10}"
                f"{slowdown(r, 'ours'):>10}{ratio(r['ratio']):>13}{ratio(r['spread']):>8}")
    return "\n".join(lines)


def gates_table(entries, machines):
    names = [m.name for m in machines]
    lines = ["Gates: QEMU's CPU time / doppel's, higher is better; geometric mean of the class",
             f"  {'class':<12}{'gate':>6}" + "".join(f"{n:>9}" for n in names) + f"  {'verdict':<10}lowest"]
    for e in entries:
        cells = ""
        for n in names:
            m = e["machines"].get(n)
            cells += f"{(ratio(m['ratio']) + ('' if m['complete'] else '*')) if m else '-':>9}"
        verdict = "" if e["gate"] is None else "pass" if e["passed"] else "MISS"
        lowest = f"{e['lowest'][0]} {e['lowest'][1]:.2f}" if e["lowest"] else "nothing was measured"
        lines.append(f"  {e['title']:<12}{e['gate'] or '':>6}{cells}  {verdict:<10}{lowest}")
    if any(not m["complete"] for e in entries for m in e["machines"].values()):
        lines.append("  * not all workloads of the class have a figure")
    return "\n".join(lines)


def resources(memory_by_machine, translation_by_machine, hz):
    lines = ["Peak memory (MiB; at most QEMU's is wanted)",
             f"  {'':<8}{'QEMU shell':>12}{'doppel shell':>14}{'QEMU peak':>12}{'doppel peak':>13}  verdict"]
    for machine, m in memory_by_machine.items():
        a, b = m["qemu"], m["ours"]
        cell = lambda v: "-" if v is None else f"{v:.0f}"
        known = a["peak"] and b["peak"]
        verdict = "-" if not known else "pass" if b["peak"] <= a["peak"] * 1.02 else "MISS"
        lines.append(f"  {machine:<8}{cell(a['at_shell']):>12}{cell(b['at_shell']):>14}{cell(a['peak']):>12}{cell(b['peak']):>13}  {verdict}")
    lines += ["", f"Translation (host clock {hz / 1e9:.2f} GHz, measured)",
              f"  {'':<17}{'':<13}{'guest insns':>12}{'insns/s':>12}{'cycles/insn':>13}{'blocks':>10}{'host code':>11}"]
    for machine, sides in translation_by_machine.items():
        for side, title in (("qemu", "QEMU"), ("ours", "doppel")):
            for key, what in (("boot", "info jit, shell"), ("end", "info jit, end"), ("new_code", "new-code, timed")):
                f = sides[side].get(key)
                if not f:
                    continue
                big = lambda k: f"{f[k]:,.0f}" if f.get(k) else "-"
                lines.append(f"  {machine + ' ' + title:<14}{what:<16}{big('guest_insns') if 'guest_insns' in f else big('insns'):>12}"
                             f"{big('insns_per_second'):>12}{big('cycles_per_insn'):>13}{big('regions'):>10}"
                             f"{str(round(f['host_bytes'] / 1024)) + ' K' if f.get('host_bytes') else '-':>11}")
    return "\n".join(lines)


def failures(entries):
    lines = []
    for f in entries:
        lines.append(f"  {f['where']}: {f['what']}")
        lines += ["    | " + text for text in (f["console"][-4:] + f["stderr"].splitlines()[-2:]) if text]
    return "Failures\n" + "\n".join(lines) if lines else ""


def build_document(measured, machines, workload_list, facts):
    """Everything as one JSON-able dictionary; the printed tables and the chart come from it alone."""
    rows = {m.name: summary.rows_for(measured, m, workload_list) for m in machines}
    wrong = [{"where": f"{m} {side}", "what": f"{r['name']} printed something else than the others",
              "console": [f"expected: {r['output']}", f"got:      {r[side + '_output']}"], "stderr": ""}
             for m, mine in rows.items() for r in mine for side in ("qemu", "ours", "native") if r[f"{side}_problem"] == "WRONG"]
    return {
        "facts": facts,
        "host_hz": measured.host_hz,
        "rows": rows,
        "samples": {m: {side: {name: [dataclasses.asdict(s) for s in runs] for name, runs in by_name.items()} for side, by_name in sides.items()}
                    for m, sides in measured.samples.items()},
        "gates": summary.gates(rows),
        "memory": {m.name: summary.memory(measured, m) for m in machines},
        "translation": {m.name: summary.translation(measured, m, rows[m.name]) for m in machines},
        "failures": measured.failures + wrong,
    }


def text_of(document, machines):
    f = document["facts"]
    busy = f"\n  note: the host was busy (load {f['load']:.1f} on {f['host_cpus']} CPUs besides this run): figures are noisy" if f["busy"] else ""
    parts = [f"{f['date']}  {f['host_cpu']}  {f['runs']} run(s)\n  QEMU:   {f['theirs']}\n  doppel: {f['ours']}{busy}"]
    parts += [table_of(f"{m.name}, -cpu {f['cpus'][m.name]}", document["rows"][m.name]) for m in machines]
    parts += [gates_table(document["gates"], machines), resources(document["memory"], document["translation"], document["host_hz"])]
    parts += [failures(document["failures"])]
    return "\n\n".join(p for p in parts if p)


def write_json(path, document):
    path.write_text(json.dumps(document, indent=1) + "\n")
