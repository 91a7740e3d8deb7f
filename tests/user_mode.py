"""What the suites of user mode share: the ABIs with their compilers and QEMU's programs, and how the emulator under test is called."""
import dataclasses
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Abi:
    name: str      # as in qemu-NAME
    cc: str        # Debian's compiler for it
    debian: str    # Debian's name of the CPU; empty: not in Debian 12
    flags: tuple = ()

    @property
    def prefix(self):
        return self.cc.removesuffix("gcc")


ABIS = {a.name: a for a in (
    Abi("i386", "i686-linux-gnu-gcc", "i386"),
    Abi("x86_64", "x86_64-linux-gnu-gcc", "amd64"),
    Abi("mips", "mips-linux-gnu-gcc", ""),
    Abi("mipsel", "mipsel-linux-gnu-gcc", "mipsel"),
    Abi("mips64el", "mips64el-linux-gnuabi64-gcc", "mips64el"),
)}


def qemu(abi):
    """QEMU's own program for the ABI, or None."""
    path = shutil.which(f"qemu-{abi}")
    return [path] if path else None


def emulator(program, abi):
    """The command that runs a program of the ABI: doppel under its alias, or, where `program` is the word qemu, QEMU itself."""
    if program == "qemu":
        return qemu(abi)
    folder = ROOT / "build" / "user-aliases"
    folder.mkdir(parents=True, exist_ok=True)
    link, target = folder / f"qemu-{abi}", pathlib.Path(program).resolve()
    if (own := target.with_name(target.name + "-user")).exists():   # what `doppel user` becomes
        target = own
    if not (link.is_symlink() and os.readlink(link) == str(target)):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return [str(link)]


def missing(program):
    """That this build of doppel has no user mode, in its own words; an empty text when it has."""
    if program == "qemu":
        return ""
    said = subprocess.run([program, "user", "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return said.stderr.strip() if said.returncode and "unknown command 'user'" in said.stderr else ""
