"""The tables: workloads (../workloads.txt), the groups they belong to with their gates, and the machines."""
import dataclasses
import pathlib

BENCH = pathlib.Path(__file__).resolve().parent.parent

# Group -> (gate of the summary or None, title). The gates are QEMU's CPU time over ours, the median of all runs.
GROUPS = {
    "boot": (1.0, "boot"),
    "compile": (1.0, "compile"),
    "memory": (1.0, "memory"),
    "calls": (1.3, "calls"),
    "scalar-fp": (3.0, "scalar FP"),
    "simd": (4.0, "SIMD"),
    "switch": (2.0, "switch"),
    "integer": (1.0, "integer"),
    "programs": (None, "programs"),
    "string": (None, "string"),
    "system": (None, "system"),
    "translate": (None, "translate"),
}


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    group: str
    machines: str
    needs: str
    command: str

    def on(self, machine):
        return self.machines in ("all", machine)

    @property
    def is_loop(self):
        return self.command.startswith("loops ")


@dataclasses.dataclass(frozen=True)
class MachineType:
    name: str
    program: str   # QEMU's name for the emulator
    cpu: str       # default -cpu


MACHINES = {
    "i386": MachineType("i386", "qemu-system-i386", "pentium3"),
    "amd64": MachineType("amd64", "qemu-system-x86_64", "qemu64"),
}


def load():
    rows = []
    for line in (BENCH / "workloads.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            row = Workload(*line.split("|", 4))
            if row.group not in GROUPS:
                raise SystemExit(f"bench: workloads.txt: {row.name}: no such class: {row.group}")
            rows.append(row)
    return rows
