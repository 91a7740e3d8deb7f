#!/usr/bin/env python3
"""Guests that run garbage: tests/fuzz/run.py build/debug/doppel [--seed N] [--seconds T] [--jobs J] [--case N] [--keep DIR]

Runs the emulator on guest.s (random code, ports, device addresses, control registers: see there) and on corrupt images, case after case
until the time is over. A case may end by itself as the guest wishes, or is ended with the monitor's `quit`; it fails by a signal, a report
of a sanitizer, a failed ASSERT, a monitor that does not answer, an exit status that a guest can't have, or too much memory. The seed and the
number of a case make it again: --seed N --case M. Last line: N passed, N failed."""
import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import image

ROOT = image.ROOT
REPORT = re.compile(r"Sanitizer|runtime error:|assertion|ASSERT|terminate called|core dumped", re.I)
MEMORY_MIB = 2048        # peak of one emulator: RAM, code caches, sanitizers' shadow
ANSWER_SECONDS = 30      # a monitor's answer, on a busy host, under sanitizers
RAM_MIB = 32


class Failure(Exception):
    pass


class Monitor:
    def __init__(self, path, process):
        end = time.time() + ANSWER_SECONDS
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(str(path))
                break
            except OSError:
                if process.poll() is not None:
                    raise EOFError from None
                if time.time() > end:
                    raise Failure("no monitor") from None
                time.sleep(0.02)
        self.socket.settimeout(ANSWER_SECONDS)
        self.read()

    def read(self):
        text = b""
        while not text.endswith(b"(doppel) ") and not text.endswith(b"(qemu) "):
            try:
                part = self.socket.recv(65536)
            except socket.timeout:
                raise Failure(f"the monitor does not answer; so far: {text[-300:]!r}") from None
            except OSError:
                raise EOFError from None
            if not part:
                raise EOFError
            text += part
        return text.decode(errors="replace")

    def do(self, command):
        try:
            self.socket.sendall(command.encode() + b"\n")
        except OSError:
            raise EOFError from None
        return self.read()

    def quit(self):
        try:
            self.socket.sendall(b"quit\n")
        except OSError:
            pass


QUESTIONS = ["info registers -a", "info tlb", "info jit", "info mtree", "info pic", "info block", "info qdm", "info cpus", "info network", "info usernet", "balloon 16", "balloon 32", "info balloon", "set_link u off", "set_link u on", "mouse_button 3", "x/8i $pc", "x/16xw 0xfffffff0",
             "xp/64xb 0xfee00000", "xp/64xw 0xfffffffffffffff0", "sendkey ctrl-alt-delete", "mouse_move 10 5", "stop", "cont", "nmi", "system_reset",
             "system_powerdown", "screendump {dir}/screen.ppm"]


class Fuzzer:
    def __init__(self, options):
        self.options = options
        self.program = str(pathlib.Path(options.program).resolve())
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="doppel-fuzz."))
        self.base = image.assemble(self.dir)
        self.environment = dict(os.environ, ASAN_OPTIONS="abort_on_error=0:exitcode=99:detect_leaks=0:allocator_may_return_null=1",
                                UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1:exitcode=99")
        self.steps = self.resets = self.peak = 0

    # --- one case
    def case(self, number):
        r = random.Random(self.options.seed * 1000003 + number)
        folder = self.dir / str(number)
        folder.mkdir()
        kind = self.guest if number % 4 != 3 else self.image
        args, work = kind(r, folder)
        return number, args, self.observe(args, work, folder, r)

    def guest(self, r, folder):
        """guest.s: weights of its kinds, CPU, accelerator and devices by chance."""
        cpu, profile = r.choice(list(image.CPUS) + ["qemu64", "max", "pentium3"]), r.choice(list(image.PROFILES))
        smp = 2 if image.CPUS[cpu] & image.APIC and r.random() < 0.35 else 1
        ram = RAM_MIB << 20
        (folder / "bios.bin").write_bytes(image.guest_image(self.base, r.getrandbits(32), cpu, smp, profile, ram))
        for name, size in (("disk", 1 << 20), ("cd", 1 << 19), ("floppy", 1474560)):
            (folder / name).write_bytes(image.noise(r, 4096).ljust(size, b"\x5a"))
        args = ["-bios", folder / "bios.bin", "-cpu", cpu, "-smp", smp, "-hda", folder / "disk", "-cdrom", folder / "cd", "-fda", folder / "floppy",
                "-debugcon", f"file:{folder}/steps"]
        args += r.choice([[], [], [], ["--opt=none"], ["-accel", "interp"], ["-accel", "tcg,tb-size=1"], ["-singlestep"]])
        args += r.choice([[], [], ["-vga", "none"]]) + r.choice([[], [], ["-device", "pc-testdev"]])
        if profile in ("net", "all") or r.random() < 0.5:
            args += ["-netdev", "user,id=u,restrict=on", "-netdev", "hubport,hubid=0,id=hu,netdev=u"]
            for slot, card in ((3, "e1000"), (4, "rtl8139"), (5, "ne2k_pci"), (6, "pcnet")):
                args += ["-netdev", f"hubport,hubid=0,id=h{slot}", "-device", f"{card},netdev=h{slot},addr={slot}"]
        else:
            args += ["-nic", "none"]
        if profile in ("disk", "all", "devices") or r.random() < 0.2:
            args += self.disks(r, folder)
        if profile in ("virtio", "all", "devices") or r.random() < 0.2:
            args += self.virtio(r, folder)
        print(f"      case: {profile} {cpu} smp={smp} {' '.join(map(str, args[12:]))}", file=sys.stderr) if self.options.verbose else None
        return args, self.provoke

    def disks(self, r, folder):
        """The controllers where guest.s looks for them, with images of either format."""
        args = []
        for name in ("ahci", "nvme", "blk", "scsi"):
            file, kind = folder / f"{name}.img", r.choice(["raw", "qcow2"])
            if kind == "raw":
                file.write_bytes(image.noise(r, 4096).ljust(1 << 20, b"\x5a"))
            else:
                subprocess.run([self.program, "img", "create", "-q", "-f", "qcow2", file, "1M"], check=True, env=self.environment)
            args += ["-drive", f"if=none,id={name},file={file},format={kind},werror={r.choice(['report', 'ignore'])}"]
        args += ["-device", "ahci,id=ahci,addr=8", "-device", "ide-hd,drive=ahci,bus=ahci.0", "-device", "ide-cd,bus=ahci.1",
                 "-device", "nvme,drive=nvme,serial=fuzz,addr=9", "-device", f"virtio-blk-pci,drive=blk,num-queues={r.choice([1, 4])},addr=0xa",
                 "-device", "virtio-scsi-pci,id=scsi,addr=0xb", "-device", "scsi-hd,drive=scsi,bus=scsi.0", "-device", "scsi-cd,bus=scsi.0"]
        return args

    @staticmethod
    def virtio(r, folder):
        """The other virtio devices where guest.s looks for them, with packed rings or without."""
        (folder / "shared").mkdir()
        (folder / "shared/file").write_bytes(image.noise(r, 5000))
        packed = r.choice(["", "", ",packed=on"])
        return ["-netdev", "user,id=uv,restrict=on", "-device", f"virtio-net-pci,netdev=uv,mq={r.choice(['on', 'off'])},addr=0xc{packed}",
                "-chardev", "null,id=cn", "-chardev", "ringbuf,id=cr,size=4096", "-device", f"virtio-serial-pci,id=vs,addr=0xd{packed}",
                "-device", "virtconsole,chardev=cn,bus=vs.0", "-device", "virtserialport,chardev=cr,name=fuzz,bus=vs.0",
                "-device", f"virtio-rng-pci,addr=0xe{packed}", "-device", f"virtio-balloon-pci,free-page-reporting={r.choice(['on', 'off'])},addr=0xf{packed}",
                "-fsdev", f"local,id=fs,path={folder}/shared,security_model={r.choice(['none', 'mapped-xattr', 'mapped-file'])}",
                "-device", f"virtio-9p-pci,fsdev=fs,mount_tag=fuzz,addr=0x10{packed}",
                "-device", f"virtio-keyboard-pci,addr=0x11{packed}", "-device", f"virtio-tablet-pci,addr=0x12{packed}"]

    def provoke(self, monitor, process, folder, r):
        """Lets it run; wakes what has come to rest; asks the monitor things."""
        end, seen, silent = time.time() + self.options.case_seconds, 0, 0
        while time.time() < end and process.poll() is None:
            time.sleep(0.02)
            monitor.do("nmi")
            if r.random() < 0.1:
                monitor.do(r.choice(QUESTIONS).format(dir=folder))
            now = (folder / "steps").stat().st_size
            silent = 0 if now != seen else silent + 1
            seen = now
            if silent >= 4:
                silent = 0
                self.resets += 1
                monitor.do("system_reset")
                monitor.do("cont")

    def image(self, r, folder):
        """Corrupt files where the emulator takes files."""
        file, other = folder / "file", folder / "other"
        kind = r.choice(["kernel", "kernel", "multiboot", "multiboot", "initrd", "bios", "fda", "hda", "cdrom", "damaged", "run"])
        file.write_bytes(image.noise(r, r.choice([0, 1, 511, 512, 2048, 65536, 65536, 1474560])))
        args = ["-kernel", file]
        if kind == "kernel":
            file.write_bytes(image.linux(r))
        elif kind == "multiboot":
            file.write_bytes(image.multiboot(r))
            if r.random() < 0.3:
                other.write_bytes(image.noise(r, 5000))
                args += ["-initrd", f"{other} a b,{other}"]
        elif kind in ("damaged", "initrd"):
            kernel = ROOT / "guests/i386-pc/vmlinuz"
            if kernel.exists():
                data = bytearray(kernel.read_bytes())
                data[0x1f1:0x268] = image.damaged(r, data[0x1f1:0x268], 0 if kind == "initrd" else r.choice([1, 2, 8]))
                file.write_bytes(data)
            other.write_bytes(image.noise(r, r.choice([0, 1, 4096, 300000])))
            args += ["-initrd", other, "-append", "x" * r.choice([0, 10, 5000])]
        elif kind == "bios":
            args = ["-bios", file]
        elif kind != "run":
            if kind == "cdrom" and r.random() < 0.7:        # El Torito with wild fields
                data = bytearray(image.noise(r, 80 * 2048))
                data[0x8000:0x8007] = b"\1CD001\1"
                data[0x8800:0x8800 + 32] = b"\0CD001\1EL TORITO SPECIFICATION".ljust(32, b"\0")
                data[0x8847:0x884b] = r.choice([b"\x14\0\0\0", image.noise(r, 4)])
                file.write_bytes(data)
            elif r.random() < 0.8:
                data = bytearray(image.noise(r, 1474560 if kind == "fda" else 65536))
                data[510:512] = b"\x55\xaa"
                file.write_bytes(data)
            args = [f"-{kind}", file, "-boot", {"fda": "a", "hda": "c", "cdrom": "d"}[kind]]
        return ["-cpu", r.choice(list(image.CPUS)), *args], self.let_run

    def let_run(self, monitor, process, folder, r):
        end = time.time() + min(self.options.case_seconds, r.choice([1, 1, 2, 3]))
        while time.time() < end and process.poll() is None:
            time.sleep(0.1)
            if r.random() < 0.1:
                monitor.do(r.choice(QUESTIONS[:12]).format(dir=folder))

    # --- watching it
    def observe(self, args, work, folder, r):
        """Runs one emulator; a text if it did what it must not."""
        command = [self.program, "qemu-system-x86_64", "-M", "pc", "-m", str(RAM_MIB), "-display", "none", "-serial", "null", "-snapshot", "-action", "shutdown=pause",
                   "-monitor", f"unix:{folder}/m,server=on,wait=off", *map(str, args)]
        if r.random() < 0.1:
            command += ["-no-reboot"]
        (folder / "command").write_text(" ".join(f"'{c}'" for c in command) + "\n")
        with open(folder / "output", "wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self.environment, cwd=folder)
        problem, peak = None, 0
        try:
            monitor = Monitor(folder / "m", process)
            work(monitor, process, folder, r)
            peak = self.peak_mib(process)
            monitor.quit()
        except EOFError:
            pass
        except Failure as e:
            problem = str(e)
        return self.verdict(process, problem, peak, folder)

    def verdict(self, process, problem, peak, folder):
        if problem:
            self.backtrace(process, folder)
        status = self.reap(process)
        output = (folder / "output").read_bytes()[-200000:].decode(errors="replace")
        if (folder / "steps").exists():
            self.steps += (folder / "steps").read_bytes().count(b"K") * 16
        self.peak = max(self.peak, peak)
        if status is None:
            problem = problem or "`quit` does not end it"
        elif status < 0 and not problem:
            problem = f"ended by signal {-status}"
        elif status not in (0, 1) and not status & 1:
            problem = problem or f"exit status {status}"
        if REPORT.search(output):
            problem = problem or "a report"
        if peak > MEMORY_MIB:
            problem = problem or f"{peak} MiB of memory"
        return problem and f"{problem}\n{output[-6000:]}"

    def peak_mib(self, process):
        try:
            text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            return 0
        return int((re.findall(r"VmHWM:\s*(\d+)", text) or ["0"])[0]) >> 10

    def reap(self, process):
        """Exit status; None: it had to be killed."""
        try:
            return process.wait(ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def backtrace(self, process, folder):
        """Where a hanging emulator hangs, into its output."""
        if shutil.which("gdb") and process.poll() is None:
            with open(folder / "output", "ab") as output:
                subprocess.run(["gdb", "-batch", "-p", str(process.pid), "-ex", "thread apply all bt 12"], stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                               timeout=120)

    # --- all of them
    def run(self):
        o, passed, failed, end = self.options, 0, 0, time.time() + self.options.seconds
        print(f"      seed {o.seed}, {o.seconds:g} s, {o.jobs} at a time")
        numbers = iter([o.case]) if o.case is not None else iter(range(1 << 30))
        with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
            running = set()
            while True:
                while len(running) < o.jobs and (time.time() < end or o.case is not None):
                    number = next(numbers, None)
                    if number is None:
                        break
                    running.add(pool.submit(self.case, number))
                if not running:
                    break
                done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    number, args, problem = future.result()
                    passed, failed = passed + (not problem), failed + bool(problem)
                    if problem:
                        print(f"FAIL  fuzz --seed {o.seed} --case {number}: " + problem.replace("\n", "\n      "), flush=True)
                        if o.keep:
                            shutil.copytree(self.dir / str(number), pathlib.Path(o.keep) / f"{o.seed}-{number}", dirs_exist_ok=True,
                                            ignore=lambda d, names: [n for n in names if n == "m"])
                    shutil.rmtree(self.dir / str(number), ignore_errors=True)
        shutil.rmtree(self.dir, ignore_errors=True)
        if not failed:
            print(f"ok    fuzz/seed-{o.seed}")
        print(f"      {passed + failed} cases, {self.steps} guest steps, {self.resets} wake-ups by reset, at most {self.peak} MiB")
        if o.steps and self.steps < o.steps:
            print(f"FAIL  fuzz: fewer than {o.steps} steps: the guest does not run")
            failed += 1
        print(f"{0 if failed else 1} passed, {failed} failed")
        return 1 if failed else 0


def main():
    full = bool(os.environ.get("DOPPEL_TEST_FULL"))
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("program")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--seconds", type=float, default=600 if full else 30)
    p.add_argument("--case-seconds", type=float, default=6 if full else 3)
    p.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1))
    p.add_argument("--case", type=int)
    p.add_argument("--keep", help="copy the files of cases that fail here")
    p.add_argument("--steps", type=int, default=0, help="fail if the guests took fewer steps in all")
    p.add_argument("--verbose", action="store_true")
    sys.exit(Fuzzer(p.parse_args()).run())


if __name__ == "__main__":
    main()
