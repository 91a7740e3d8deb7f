"""One alternating run: QEMU, doppel, doppel, QEMU, ... on each machine; a hang or crash costs one workload, not the run."""
import dataclasses
import sys
import time

import guest
import native
from guest import Sample

SIDES = ("qemu", "ours")
MAX_RESTARTS = 4


@dataclasses.dataclass
class Measurements:
    """samples[machine][side][workload] and boots[machine][side] are lists with one entry a run."""
    options: object
    samples: dict = dataclasses.field(default_factory=dict)
    boots: dict = dataclasses.field(default_factory=dict)
    natives: dict = dataclasses.field(default_factory=dict)
    failures: list = dataclasses.field(default_factory=list)
    host_hz: float = 0.0

    def execute(self, machines, workloads, builds):
        self.host_hz = native.cycles_per_second(builds[machines[0].name])
        for machine in machines:
            self.samples[machine.name] = {side: {w.name: [] for w in workloads} for side in SIDES}
            self.boots[machine.name] = {side: [] for side in SIDES}
            self.natives[machine.name] = {w.name: [] for w in workloads}
        dead = set()
        for index in range(self.options.runs):
            for machine in machines:
                mine = [w for w in workloads if w.on(machine.name)]
                for side in SIDES if index % 2 == 0 else SIDES[::-1]:
                    if (machine.name, side) not in dead:
                        self._emulate(index, machine, side, mine, builds[machine.name], dead)
                for workload in mine:
                    self.natives[machine.name][workload.name].append(native.run(workload, builds[machine.name]))

    def _emulate(self, index, machine, side, workloads, build, dead):
        template = self.options.theirs if side == "qemu" else self.options.ours
        cpu = self.options.cpu or machine.cpu
        begin = time.monotonic()
        print(f"bench: run {index + 1} of {self.options.runs}: {machine.name} {side} ...", end="", file=sys.stderr, flush=True)
        left, samples, first = [w.name for w in workloads], {}, None
        for _ in range(MAX_RESTARTS + 1):
            boot = guest.run(template, machine, cpu, build, left, self.options.timeout)
            first = first or boot
            samples.update(boot.samples)
            left = [name for name in left if name not in samples]
            self._note(index, machine, side, boot, left)
            if boot.boot is None or boot.finished or not left:
                break
        if first.boot is None and index == 0:
            dead.add((machine.name, side))                # does not boot: once is enough
        for name in left:
            samples[name] = Sample("not-run")
        for workload in workloads:
            self.samples[machine.name][side][workload.name].append(samples[workload.name])
        self.boots[machine.name][side].append(first)
        print(f" {time.monotonic() - begin:.0f} s", file=sys.stderr)

    def _note(self, index, machine, side, boot, left):
        where = f"{machine.name} {side} run {index + 1}"
        if boot.boot is None:
            self.failures.append({"where": where, "what": "did not reach the shell", "console": boot.tail, "stderr": boot.message})
        elif not boot.finished:
            bad = [name for name, s in boot.samples.items() if s.status in ("hung", "died")] or ["between two workloads"]
            sample = boot.samples.get(bad[0])
            what = sample.status if sample else "stopped"
            if what == "hung":
                bad[0] += f" ({sample.cpu:.0f} s of CPU in {sample.wall:.0f} s)"
            self.failures.append({"where": where, "what": f"{what} in {bad[0]}", "console": boot.tail, "stderr": boot.message})
        if boot.boot is not None and not boot.finished and left and not boot.samples:
            left.pop(0)                                   # no marker came at all: do not start the same one for ever
        for name, sample in boot.samples.items():
            if sample.status == "failed":
                self.failures.append({"where": where, "what": f"{name} failed", "console": [sample.output], "stderr": ""})
