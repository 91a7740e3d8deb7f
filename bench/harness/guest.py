"""Runs one emulator with one guest and measures it: CPU time of the whole process between the guest's markers, peak memory,
and what its monitor says about translation. The markers are those of ../guest/init.sh."""
import dataclasses
import os
import pathlib
import re
import select
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
import time


class CpuClock:
    """CPU time, user and system, of all threads of another process, to the nanosecond (the kernel's clock of a process id)."""

    def __init__(self, pid):
        self.pid = pid
        self.id = (~pid << 3) | 2
        try:
            time.clock_gettime(self.id)
            self.exact = True
        except OSError:
            self.exact = False

    def read(self):
        if self.exact:
            return time.clock_gettime(self.id)
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


TOGETHER = 0.002   # seconds; no workload is that short


@dataclasses.dataclass
class Sample:
    """One workload in one boot. status: ok, failed (exit status), skipped, hung, died (the emulator ended), not-run,
    late (the console held the marker of the beginning back until that of the end: no time is known)."""
    status: str
    cpu: float = 0.0
    wall: float = 0.0
    output: str = ""


@dataclasses.dataclass
class Boot:
    """One start of an emulator. boot is None when the guest did not reach its shell."""
    boot: Sample
    samples: dict
    finished: bool = False
    boot_rss_kib: int = 0
    peak_rss_kib: int = 0
    total_cpu: float = 0.0
    jit_boot: str = ""
    jit_end: str = ""
    tail: list = dataclasses.field(default_factory=list)
    message: str = ""


class Monitor:
    """The emulator's human monitor on a Unix socket. Every failure is an empty answer: the benchmark goes on without it."""

    def __init__(self, path):
        self.path, self.socket = path, None

    def ask(self, command, seconds=3.0):
        try:
            if self.socket is None:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(self.path)
                self._until_prompt(0.3)                    # the greeting, if there is one
            self.socket.sendall(command.encode() + b"\n")
            lines = self._until_prompt(seconds).replace("\r", "").split("\n")
            return "\n".join(line for line in lines if "\x1b" not in line and command not in line and not line.startswith("("))
        except OSError:
            return ""

    def _until_prompt(self, seconds):
        data, end = b"", time.monotonic() + seconds
        while not re.search(rb"\(\w+\) $", data):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                break
            chunk = self.socket.recv(65536)
            if not chunk:
                break
            data += chunk
        return data.decode(errors="replace")

    def close(self):
        if self.socket:
            self.socket.close()


def command_line(template, machine, cpu, build, names, monitor_path):
    """The same options for every emulator; `template` is a command in which {program} stands for QEMU's program name."""
    return shlex.split(template.format(program=machine.program)) + [
        "-M", "pc", "-accel", "tcg", "-cpu", cpu, "-m", "512", "-nographic", "-no-reboot", "-nic", "none",
        "-serial", "stdio", "-monitor", f"unix:{monitor_path},server=on,wait=off",
        "-kernel", str(build / "vmlinuz"), "-initrd", str(build / "initrd.gz"),
        "-append", "console=ttyS0 quiet nokaslr panic=-1 bench=" + ",".join(names),
        "-drive", f"file={build / 'disk.img'},format=raw,snapshot=on",
    ]


def run(template, machine, cpu, build, names, timeout):
    """Boots once and runs the named workloads in turn. Stops at the first that hangs or kills the emulator."""
    result = Boot(None, {})
    with tempfile.TemporaryDirectory(prefix="doppel-bench.") as folder, tempfile.TemporaryFile() as errors:
        monitor = Monitor(os.path.join(folder, "monitor"))
        argv = command_line(template, machine, cpu, build, names, monitor.path)
        try:
            process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
        except OSError as error:
            result.message = f"{argv[0]}: {error.strerror}"
            return result
        try:
            _follow(process, result, monitor, timeout)
        finally:
            usage = _reap(process, 10 if result.finished else 0)
            monitor.close()
        result.peak_rss_kib = usage.ru_maxrss
        result.total_cpu = usage.ru_utime + usage.ru_stime
        errors.seek(0)
        result.message = errors.read(2000).decode(errors="replace").strip()
        hung = any(sample.status == "hung" for sample in result.samples.values())
        if not result.finished and not hung:
            killed = process.returncode == -signal.SIGKILL and not any(s.status == "died" for s in result.samples.values())
            result.message += f"\nsilent for {timeout:.0f} s: killed" if killed else f"\nended with status {process.returncode}"
    return result


def _reap(process, patience):
    """Waits for the end and returns the resources used. After `patience` seconds (a guest that hangs or cannot power off) the
    emulator is killed: what was measured is complete by then. Popen must not wait for it: the usage would be lost."""
    end = time.monotonic() + patience
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            process.stdin.close()
            process.stdout.close()
            return usage
        if time.monotonic() >= end:
            os.kill(process.pid, signal.SIGKILL)
            end = float("inf")
        time.sleep(0.02)


def _follow(process, result, monitor, timeout):
    clock = CpuClock(process.pid)
    start_wall = time.monotonic()
    current = begin = asking = None
    for line in _lines(process, timeout):
        cpu, wall = clock.read() if line is not None else 0, time.monotonic()
        if line is None:                                   # silence for too long, or the end
            alive = _alive(process.pid)
            if current:
                used = clock.read() - begin[0] if alive else 0.0
                result.samples[current] = Sample("hung" if alive else "died", used, time.monotonic() - begin[1])
            return
        if not line.startswith("@@"):
            result.tail = (result.tail + [line])[-15:]
            continue
        word, _, rest = line[2:].partition(" ")
        if word == "boot":
            result.boot = Sample("ok", cpu, wall - start_wall)
            result.boot_rss_kib = _status_kib(process.pid, "VmHWM")
            asking = threading.Thread(target=lambda: setattr(result, "jit_boot", monitor.ask("info jit")))
            asking.start()                                 # beside the reading: a monitor that is slow to answer must not delay a clock reading
        elif word == "begin":
            current, begin = rest, (cpu, wall)
        elif word == "end" and current:
            name, status, output = (rest.split(" ", 2) + [""])[:3]
            verdict = "ok" if status == "0" else "failed"
            if verdict == "ok" and wall - begin[1] < TOGETHER:
                verdict = "late"
            result.samples[name] = Sample(verdict, cpu - begin[0], wall - begin[1], output.strip())
            current = None
        elif word == "skip":
            name, flag = rest.split(" ", 1)
            result.samples[name] = Sample("skipped", output=f"the guest's CPU has no {flag}")
        elif word == "note":
            result.tail = (result.tail + [rest])[-15:]
        elif word == "done":
            if asking:
                asking.join()
            result.jit_end = monitor.ask("info jit")
            result.finished = True
            return


def _lines(process, timeout):
    """Console lines; at the end of the output, or after `timeout` seconds without a line, None and no more."""
    fd, pending, last = process.stdout.fileno(), b"", time.monotonic()
    while True:
        left = last + timeout - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            yield None
            return
        chunk = os.read(fd, 65536)
        if not chunk:
            yield None
            return
        pending += chunk
        while b"\n" in pending:
            line, pending = pending.split(b"\n", 1)
            last = time.monotonic()
            at = line.find(b"@@")                          # firmware may leave escape sequences before a marker
            yield (line[at:] if at >= 0 else line).decode(errors="replace").strip()


def _alive(pid):
    time.sleep(0.2)
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _status_kib(pid, key):
    match = re.search(rf"^{key}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(match.group(1)) if match else 0
