"""Runs the workloads on the host itself, with the guest's own programs: the same loops, the same Debian tree by chroot."""
import os
import shutil
import tempfile
import time

from guest import Sample


def run_command(argv):
    """CPU time of a program and its children, and the last line that it printed."""
    with tempfile.TemporaryFile() as out:
        actions = [(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, out.fileno(), 2)]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LC_ALL": "C"}
        begin = time.monotonic()
        pid = os.posix_spawnp(argv[0], argv, environment, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        wall = time.monotonic() - begin
        out.seek(0)
        lines = out.read().decode(errors="replace").strip().splitlines()
    code = os.waitstatus_to_exitcode(status)
    return Sample("ok" if code == 0 else "failed", usage.ru_utime + usage.ru_stime, wall, lines[-1][:150].strip() if lines else "")


def run(workload, build):
    if workload.is_loop:
        return run_command([str(build / "loops"), *workload.command.split()[1:]])
    tree = str(build / "root")
    root = ["chroot", tree] if os.geteuid() == 0 else ["unshare", "--map-root-user", f"--root={tree}"]
    if not shutil.which(root[0], path="/usr/sbin:/usr/bin"):
        return Sample("failed", output=f"no {root[0]} on this machine")
    return run_command([*root, "/bin/sh", "-c", workload.command])


def cycles_per_second(build):
    """The clock rate under load, from a chain of additions that take one cycle each: the fastest of five."""
    rounds = 4000000
    return max(16 * rounds / run_command([str(build / "loops"), "hz", str(rounds)]).cpu for _ in range(5))
