#!/usr/bin/env python3
"""Fails on an include that goes up: a folder may include only what ARCHITECTURE.md's table of layers allows."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent / "src"
# folder -> folders it may include besides itself (longest prefix decides)
HW = ["hw/core", "base", "mem", "state", "block", "chardev", "display", "net", "share"]
ALLOWED = {
    "base": [], "crypto": ["base"], "state": ["base"],
    "ir": ["base", "state"], "ir/opt": ["ir", "base"], "fpu": ["base"], "mem": ["base", "state"],
    "guest": ["ir", "mem", "state", "base"], "guest/x86": ["guest/guest.h", "guest/user_cpu.h", "ir", "fpu", "mem", "state", "base"],
    "guest/mips": ["guest/guest.h", "guest/fetch_fault.h", "guest/user_cpu.h", "ir", "fpu", "mem", "state", "base"],
    "backend": ["ir", "mem", "base"], "backend/interp": ["backend", "ir", "fpu", "mem", "base"],
    "backend/x64": ["backend", "ir", "mem", "base"], "backend/common": ["backend", "ir", "mem", "base"],
    "exec": ["guest/guest.h", "guest/fetch_fault.h", "backend/backend.h", "backend/interp/eval.h", "ir", "mem", "state", "base"],
    "user": ["exec", "gdbstub", "guest/guest.h", "guest/user_cpu.h", "mem", "ir", "state", "base"],
    "accel": ["exec", "guest/guest.h", "mem", "ir", "state", "base"],
    "block": ["base", "state"], "chardev": ["base", "state"], "display": ["base", "state"], "share": ["base", "state"], "net": ["chardev", "base", "state"], "display/sdl": ["display", "base", "machine/machine.h"],
    "hw/core": ["base", "mem", "state"], "hw": HW + ["hw/bus"], "hw/bus": HW, "firmware": HW + ["hw", "guest/x86/cpu_models.h"],
    "machine": HW + ["hw", "firmware", "accel/accel.h", "guest/guest.h", "guest/x86/cpu.h", "guest/x86/cpu_models.h", "guest/x86/platform.h",
        "guest/mips/cpu.h", "guest/mips/cpu_models.h", "guest/mips/platform.h"],
    "monitor": ["machine/machine.h", "migration", "accel/accel.h", "guest/guest.h", "mem", "state", "base", "crypto", "block", "chardev", "display", "net", "hw/core"],
    "migration": ["machine/machine.h", "accel/accel.h", "guest/guest.h", "mem", "state", "base", "block", "hw/core"],
    "gdbstub": ["guest/guest.h", "base"],
    "gdbstub/machine": ["gdbstub", "machine/machine.h", "accel/accel.h", "guest/guest.h", "mem", "state", "base"],
    "app": None,
}


def owner(path):
    best = ""
    for folder in ALLOWED:
        if (path + "/").startswith(folder + "/") and len(folder) > len(best):
            best = folder
    return best


def main():
    bad = []
    for file in sorted(ROOT.rglob("*")):
        if file.suffix not in (".h", ".cpp", ".inc", ".def"):
            continue
        rel = file.relative_to(ROOT).as_posix()
        layer = owner(str(pathlib.PurePosixPath(rel).parent))
        allowed = ALLOWED.get(layer, None) if layer else None
        if not layer:
            bad.append(f"{rel}: folder has no layer")
            continue
        if allowed is None:
            continue
        for number, line in enumerate(file.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include "([^"]+)"', line)
            if not match:
                continue
            target = match.group(1)
            target_layer = owner(str(pathlib.PurePosixPath(target).parent))
            ok = target_layer == layer or any(target == a or target.startswith(a + "/") for a in allowed)
            # a sub-layer is not part of its parent unless named
            if ok and target_layer != layer and target_layer not in allowed and target not in allowed and not any(
                    target_layer.startswith(a + "/") or target_layer == a for a in allowed):
                ok = False
            if not ok:
                bad.append(f"{rel}:{number}: {layer} may not include {target}")
    print("\n".join(bad) if bad else "layers: clean")
    return 1 if bad else 0


sys.exit(main())
