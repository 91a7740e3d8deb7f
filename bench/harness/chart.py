"""The bar chart: one bar a workload and machine, QEMU's CPU time over ours on a logarithmic axis; gates as ticks."""
import math
from xml.sax.saxutils import escape

import workloads as tables

LEFT, WIDTH, RIGHT, BAR, GAP = 150, 560, 70, 11, 5
COLOURS = {"i386": "#3b6ea8", "amd64": "#d98032"}


def _axis(document):
    values = [r["ratio"] for rows in document["rows"].values() for r in rows if r["ratio"]]
    values += [gate for gate, _ in tables.GROUPS.values() if gate]
    low = math.floor(math.log2(min(values + [0.5])))
    high = math.ceil(math.log2(max(values + [8])))
    return low, high, lambda v: LEFT + (math.log2(v) - low) / (high - low) * WIDTH


def _text(x, y, value, size=11, anchor="start", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {extra}>{escape(value)}</text>'


def _bar(x0, x, y, colour):
    left, right = sorted((x0, x))
    return f'<rect x="{left:.1f}" y="{y}" width="{max(right - left, 1):.1f}" height="{BAR}" fill="{colour}"/>'


def svg(document):
    machines = list(document["rows"])
    low, high, at = _axis(document)
    body, y = [], 64
    for group, (gate, title) in tables.GROUPS.items():
        names = list(dict.fromkeys(r["name"] for m in machines for r in document["rows"][m] if r["group"] == group))
        if not names:
            continue
        y += 16
        body.append(_text(8, y, title, 12, extra='font-weight="bold"'))
        top = y + 4
        y += 6
        for name in names:
            first = y
            for m in machines:
                row = next((r for r in document["rows"][m] if r["name"] == name), None)
                if row is None or row["qemu_problem"] == row["ours_problem"] == "skipped":
                    continue
                if row["ratio"]:
                    x = at(row["ratio"])
                    body.append(_bar(at(1), x, y, COLOURS.get(m, "#888")))
                    body.append(_text(max(x, at(1)) + 4, y + BAR - 2, f"{row['ratio']:.2f}", 9))
                else:
                    body.append(_text(at(1) + 4, y + BAR - 2, row["ours_problem"] or row["qemu_problem"] or "-", 9, extra='fill="#b00"'))
                y += BAR + 1
            if y == first:
                continue
            body.append(_text(LEFT - 8, (first + y) / 2 + 3, name, 10, "end"))
            y += GAP
        if gate:
            body.append(f'<line x1="{at(gate):.1f}" x2="{at(gate):.1f}" y1="{top}" y2="{y - GAP}" stroke="#b00" stroke-dasharray="3 2"/>')
    grid = []
    for power in range(low, high + 1):
        x = at(2.0 ** power)
        label = f"{2 ** power}x" if power >= 0 else f"1/{2 ** -power}x"
        grid.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="60" y2="{y}" stroke="{"#333" if power == 0 else "#ddd"}"/>')
        grid.append(_text(x, 56, label, 10, "middle"))
    legend = [_text(8, 38, "QEMU's CPU time / doppel's: right of 1x doppel is faster. Dashed: the gate.", 11)]
    for i, m in enumerate(machines):
        x = LEFT + WIDTH - 70 * (len(machines) - i) + 60
        legend.append(f'<rect x="{x}" y="28" width="11" height="11" fill="{COLOURS.get(m, "#888")}"/>')
        legend.append(_text(x + 15, 38, m, 11))
    facts = document["facts"]
    head = _text(8, 22, "doppel against " + facts["theirs_version"].split(" (")[0], 14, extra='font-weight="bold"')
    foot = _text(8, y + 18, f"{facts['date']}, {facts['host_cpu']}, {facts['runs']} run(s), medians of ratios", 9, extra='fill="#666"')
    total = LEFT + WIDTH + RIGHT
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{y + 28}" font-family="sans-serif">\n'
            f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join([head, *legend, *grid, *body, foot]) + "\n</svg>\n")
