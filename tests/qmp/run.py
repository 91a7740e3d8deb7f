#!/usr/bin/env python3
"""The machine protocol with real machines and clients: tests/qmp/run.py build/release/doppel [NAME...]"""
import array
import json
import os
import pathlib
import re
import resource
import select
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import ROOT, Failure, Screen, check, run_tests, wait_until  # noqa: E402
from qmp_client import Qmp  # noqa: E402


class Machine:
    def __init__(self, t, *args, qmp=1, **kw):
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=t.dir))
        self.sockets = [self.dir / f"qmp{i}" for i in range(qmp)]
        words = [w for s in self.sockets for w in ("-qmp", f"unix:{s},server=on,wait=off")]
        self.process = subprocess.Popen([t.program, "qemu-system-x86_64", "-display", "none", "-m", "32", *words, *map(str, args)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.dir, **kw)

    def client(self, n=0, **kw):
        return Qmp(self.sockets[n], **kw)

    def resident_mib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1]) // 1024

    def ends(self, status=0, timeout=30):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"still running after {timeout} s") from None
        check(code == status, f"exit status {code}, expected {status}: {self.process.stdout.read()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Tester:
    def __init__(self, program):
        self.program = str(pathlib.Path(program).resolve())
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="doppel-qmp."))

    def boot_sector(self, source="tests/boot/boot_sector.s"):
        image = self.dir / f"{pathlib.Path(source).stem}.img"
        if not image.exists():
            o, b = self.dir / "boot.o", self.dir / "boot.bin"
            subprocess.run(["as", "--32", "-o", o, ROOT / source], check=True)
            subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", b, o], check=True)
            image.write_bytes(b.read_bytes().ljust(1474560, b"\0"))
        return image


def test_session(t):
    """Greeting, negotiation, id, several objects in one write, one object in many."""
    with Machine(t, "-S") as m:
        c = m.client(negotiate=False)
        check(c.greeting["QMP"]["version"]["qemu"]["major"] >= 8 and c.greeting["QMP"]["capabilities"] == [], c.greeting)
        check(c.error("query-status")["class"] == "CommandNotFound", "before the negotiation")
        check(c.command("qmp_capabilities") == {}, "qmp_capabilities")
        check(c.error("qmp_capabilities")["class"] == "CommandNotFound", "a second negotiation")
        c.send("".join(json.dumps({"execute": "query-name", "id": i}) for i in range(50)))
        check([c.answer() for _ in range(50)] == [{"return": {}, "id": i} for i in range(50)], "fifty in one write")
        for byte in b"  {'execute': 'query-status', 'id': {'x': [1, null]}}\n":
            c.send(bytes([byte]))
        check(c.answer() == {"return": {"status": "prelaunch", "running": False}, "id": {"x": [1, None]}}, "byte by byte")
        check(c.error("no-such-thing")["class"] == "CommandNotFound", "an unknown command")
        check("'x' is unexpected" in c.error("stop", x=1)["desc"], "an unknown argument")
        c.command("quit")
        m.ends()
        check(c.event("SHUTDOWN")["data"] == {"guest": False, "reason": "host-qmp-quit"}, "SHUTDOWN")
        check(not m.sockets[0].exists(), "the socket's file is left")


def test_run_state_and_events(t):
    with Machine(t, "-nic", "none", qmp=2) as m:
        a, b = m.client(0), m.client(1)
        for command, event, status in (("stop", "STOP", "paused"), ("cont", "RESUME", "running")):
            a.command(command)
            check([e["event"] for e in a.events] == [event], f"{command}: the event comes before the answer: {a.events}")
            now = time.time()
            e = b.event(event)
            check(abs(e["timestamp"]["seconds"] - now) < 60 and "data" not in e, e)
            check(b.command("query-status")["status"] == status, status)
            a.events.clear()
        a.command("system_reset")
        check(b.event("RESET")["data"] == {"guest": False, "reason": "host-qmp-system-reset"}, "RESET")
        a.command("system_powerdown")
        b.event("POWERDOWN")
        os.kill(m.process.pid, 15)
        check(b.event("SHUTDOWN")["data"] == {"guest": False, "reason": "host-signal"}, "SHUTDOWN by a signal")
        m.ends()
    with Machine(t, "-fda", t.boot_sector(), "-device", "isa-debug-exit,iobase=0x501,iosize=1", "-S") as m:
        c = m.client()
        c.command("cont")
        check(c.event("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-shutdown"}, "SHUTDOWN by the guest")
        m.ends(0x55)


def test_clients_one_after_the_other(t):
    """A socket serves one client at a time; the next one starts afresh and gets none of the first one's answers."""
    with Machine(t, "-S") as m:
        first = m.client()
        first.send('{"execute": "query-qmp-schema"}' * 8 + '{"begun": [')
        second = socket.socket(socket.AF_UNIX)
        second.connect(str(m.sockets[0]))
        second.settimeout(0.5)
        try:
            check(not second.recv(1), "two clients at once")
        except TimeoutError:
            pass
        first.close()
        second.settimeout(30)
        text = b""
        while b"\n" not in text:
            text += second.recv(65536)
        check(text.startswith(b'{"QMP"') and text.count(b"\n") == 1, text[:200])
        second.close()
        third = m.client(negotiate=False)
        check(third.error("query-status")["class"] == "CommandNotFound", "the negotiation was inherited")
        third.command("qmp_capabilities")
        for _ in range(50):  # clients that come and go in the middle of a word
            third.close()
            third = m.client()
            third.send('{"execute": "query-')
        third.close()
        m.client().command("quit")
        m.ends()


def test_bad_input(t):
    """Rubbish is answered, memory stays bounded, and the next request is served."""
    with Machine(t, "-S") as m:
        c = m.client()
        before = m.resident_mib()
        cases = [b"{]", b"nonsense\n", b"\x00", b'{"execute": "query-name"', b'"open\n', b"[" * 5000 + b"\n", b'{"a":' * 2000 + b"\n",
                 b'{"x": "' + b"y" * (20 << 20) + b'"}\n', b"[" + b"1," * 400000 + b"1]\n", b"7" * (20 << 20) + b"\n",
                 b'{"execute": "query-name", "id": 1, "id": 2}', b'{"execute": "query-name" "id": 1}', b"[]", b"true ",
                 b'{"x": "\xed\xa0\x80"}', b'{"x": "\\ud800"}', b'{"execute": "query-name", "arguments": []}']
        for case in cases:
            if case == b'{"execute": "query-name"':  # not closed: a byte that is no JSON ends it
                case += b"\xff"
            c.send(case)
            answer = c.answer()
            check(answer["error"]["class"] == "GenericError", f"{case[:40]}: {answer}")
            check(len(json.dumps(answer)) < 1000, "the error repeats the input")
            c.send('{"execute": "query-name", "id": "after"}')
            check(c.answer() == {"return": {}, "id": "after"}, f"after {case[:40]}")
        check(m.resident_mib() < before + 200, f"{before} MiB before, {m.resident_mib()} MiB after")
        # Interleaved: two requests and rubbish between them in one write.
        c.send('{"execute": "query-name", "id": 1} } {"execute": "query-name", "id": 2}')
        answers = [c.answer() for _ in range(3)]
        check([a.get("id") for a in answers] == [1, None, 2] and "error" in answers[1], answers)
        c.command("quit")
        m.ends()


def test_slow_client(t):
    """A client that asks and never reads: the machine runs on, memory stays bounded, others are served."""
    with Machine(t, qmp=2) as m:
        slow, other = m.client(0), m.client(1)
        before = m.resident_mib()
        slow.s.settimeout(2)
        sent = 0
        try:
            while sent < 20000:
                slow.send('{"execute": "query-qmp-schema"}' * 10)
                sent += 10
        except TimeoutError:
            pass
        check(sent < 20000, "everything was taken from a client that does not read")
        for _ in range(2000):
            other.command("stop")
            other.command("cont")
        check(other.command("query-status")["running"], "the machine does not run")
        check(m.resident_mib() < before + 64, f"{before} MiB before, {m.resident_mib()} MiB after")
        slow.s.settimeout(60)
        slow.buffer = b""
        for _ in range(20):  # it wakes up and goes on where it was
            slow.answer()
        slow.close()
        m.client(0).command("query-name")
        other.command("quit")
        m.ends()


def test_media(t):
    disc, other = t.dir / "a.iso", t.dir / "b.iso"
    disc.write_bytes(b"\1" * 65536)
    other.write_bytes(b"\2" * 131072)
    with Machine(t, "-cdrom", disc, "-drive", f"if=none,id=d0,file={t.boot_sector()},format=raw,readonly=on", "-device", "floppy,drive=d0,id=fl", "-S") as m:
        c = m.client()
        drives = {d["device"]: d for d in c.command("query-block")}
        check(set(drives) == {"ide1-cd0", "d0"}, drives)
        inserted = drives["ide1-cd0"]["inserted"]
        check(inserted["file"] == str(disc) and inserted["drv"] == "raw" and inserted["ro"] and inserted["image"]["virtual-size"] == 65536, inserted)
        check(drives["d0"]["qdev"] == "/machine/peripheral/fl" and not drives["ide1-cd0"]["tray_open"], drives)
        c.command("eject", device="ide1-cd0")
        event = c.event("DEVICE_TRAY_MOVED")["data"]
        check(event == {"device": "ide1-cd0", "id": drives["ide1-cd0"]["qdev"], "tray-open": True}, event)
        drive = [d for d in c.command("query-block") if d["device"] == "ide1-cd0"][0]
        check("inserted" not in drive and drive["tray_open"], drive)
        c.command("blockdev-change-medium", id=drive["qdev"], filename=str(other))
        check(not c.event("DEVICE_TRAY_MOVED")["data"]["tray-open"], "the tray closes")
        drive = [d for d in c.command("query-block") if d["device"] == "ide1-cd0"][0]
        check(drive["inserted"]["image"]["virtual-size"] == 131072 and not drive["tray_open"], drive)
        c.command("blockdev-change-medium", id="fl", filename=str(other), read_only_mode="read-only")
        check("/nonexistent" in c.error("blockdev-change-medium", device="d0", filename="/nonexistent")["desc"], "a missing image")
        check(c.error("eject", device="cd9")["class"] == "DeviceNotFound", "an unknown drive")
        check("131072 bytes" in c.hmp("info block"), c.hmp("info block"))
        c.command("quit")
        m.ends()


def test_media_in_steps(t):
    """A node goes into the open tray of a drive and out again."""
    disc = t.dir / "steps.iso"
    disc.write_bytes(b"\3" * 65536)
    with Machine(t, "-nodefaults", "-device", "ide-cd,id=cd,bus=ide.1,unit=0", "-S") as m:
        c = m.client()

        def drive():
            return [d for d in c.command("query-block") if d["qdev"] == "/machine/peripheral/cd"][0]
        c.command("blockdev-add", driver="raw", node_name="disc", read_only=True, file={"driver": "file", "filename": str(disc)})
        check("not open" in c.error("blockdev-insert-medium", id="cd", node_name="disc")["desc"], "into a closed tray")
        c.command("blockdev-open-tray", id="cd")
        check(c.event("DEVICE_TRAY_MOVED")["data"]["tray-open"] and drive()["tray_open"], "the tray opens")
        check("no block node" in c.error("blockdev-insert-medium", id="cd", node_name="other")["desc"], "a node that is not there")
        c.command("blockdev-insert-medium", id="cd", node_name="disc")
        c.command("blockdev-close-tray", id="cd")
        check(not c.event("DEVICE_TRAY_MOVED")["data"]["tray-open"], "the tray closes")
        check(drive()["inserted"]["node-name"] == "disc" and not drive()["tray_open"], drive())
        check("is used by" in c.error("blockdev-del", node_name="disc")["desc"], "a node in a drive went")
        check("not open" in c.error("blockdev-remove-medium", id="cd")["desc"], "out of a closed tray")
        c.command("blockdev-open-tray", id="cd")
        c.command("blockdev-close-tray", id="cd")
        check(drive()["inserted"]["node-name"] == "disc", "the tray went in and out, and the disc is lost")
        c.command("blockdev-open-tray", id="cd")
        c.command("blockdev-remove-medium", id="cd")
        check("inserted" not in drive(), drive())
        c.command("blockdev-del", node_name="disc")
        c.command("quit")
        m.ends()


def test_screen_and_memory(t):
    with Machine(t, "-fda", t.boot_sector()) as m:
        c = m.client()
        wait_until("the boot sector's text", lambda: "SECOND-SECTOR-OK" in c.hmp("info screen"), 60)
        c.command("stop")
        ppm, png, low = m.dir / "s.ppm", m.dir / "s.png", m.dir / "memory"
        c.command("screendump", filename=str(ppm))
        c.command("screendump", filename=str(png), format="png")
        check(len(Screen(ppm.read_bytes()).colours()) > 1 and png.read_bytes().startswith(b"\x89PNG"), "pictures")
        c.command("pmemsave", val=0x7c00, size=512, filename=str(low))
        check(low.read_bytes()[510:] == b"\x55\xaa", "the boot sector is not in memory")
        c.command("memsave", val=0x7c00, size=512, filename=str(low))
        check(low.read_bytes()[:2] == t.boot_sector().read_bytes()[:2], "virtual memory")
        check("cpu-index" in c.error("memsave", val=0, size=1, filename=str(low), cpu_index=3)["desc"], "a CPU that is not there")
        check("nowhere" in c.error("screendump", filename="/nowhere/x")["desc"], "a folder that is not there")
        cpus = c.command("query-cpus-fast")
        threads = os.listdir(f"/proc/{m.process.pid}/task")
        check(len(cpus) == 1 and str(cpus[0]["thread-id"]) in threads, f"{cpus} {threads}")
        c.command("send-key", keys=[{"type": "qcode", "data": "ret"}, {"type": "number", "data": 30}], hold_time=1)
        c.command("input-send-event", events=[{"type": "rel", "data": {"axis": "x", "value": 5}},
                                              {"type": "btn", "data": {"button": "left", "down": True}},
                                              {"type": "key", "data": {"down": True, "key": {"type": "qcode", "data": "a"}}}])
        check("keys[0].data" in c.error("send-key", keys=[{"type": "qcode", "data": "nokey"}])["desc"], "an unknown key")
        bus = c.command("query-pci")[0]["devices"]
        check({(d["slot"], d["function"]) for d in bus} >= {(0, 0), (1, 0), (1, 1), (1, 3), (2, 0), (3, 0)}, bus)
        vga = [d for d in bus if d["class_info"]["class"] == 0x300][0]
        check(vga["regions"][0]["address"] > 0 and vga["id"]["vendor"] == 0x1234, vga)
        c.command("quit")
        m.ends()


def test_objects(t):
    with Machine(t, "-smp", "2", "-cpu", "pentium3,-sse", "-device", "e1000,id=card", "-name", "guest=Test,debug-threads=on",
                 "-uuid", "01234567-89ab-cdef-0123-456789abcdef", "-S") as m:
        c = m.client()

        def tree(path, seen):
            for p in c.command("qom-list", path=path):
                if p["type"].startswith("child<"):
                    inner = path.rstrip("/") + "/" + p["name"]
                    check(c.command("qom-get", path=path, property=p["name"]) == inner, inner)
                    kind = c.command("qom-get", path=inner, property="type") if p["type"] != "child<chardev>" else "chardev"
                    check(p["type"] == f"child<{kind}>", f"{p} {kind}")
                    seen.append(inner)
                    if kind != "chardev":
                        tree(inner, seen)
                else:
                    c.command("qom-get", path=path, property=p["name"])
            return seen
        seen = tree("/", [])
        check({"/machine/peripheral/card", "/machine/unattached/device[1]", "/machine/unattached/vga"} <= set(seen), seen)
        cpu = c.command("query-cpus-fast")[1]["qom-path"]
        check(c.command("qom-get", path=cpu, property="mmx") and not c.command("qom-get", path=cpu, property="sse"), "features")
        check(len(c.command("query-hotpluggable-cpus")) == 2, "hotpluggable")
        check(c.command("query-name") == {"name": "Test"} and c.command("query-uuid")["UUID"].startswith("01234567-89ab"), "name")
        check(c.command("query-memory-size-summary")["base-memory"] == 32 << 20, "memory")
        c.command("set_link", name="card", up=False)
        check(c.error("set_link", name="none", up=False)["class"] == "DeviceNotFound", "set_link")
        check(re.fullmatch("52:54:00:12:34:5[67]", c.command("qom-get", path="/machine/peripheral/card", property="mac")), "the address that nobody gave")
        types = {x["name"] for x in c.command("qom-list-types", implements="device")}
        listed = subprocess.run([t.program, "qemu-system-x86_64", "-device", "help"], capture_output=True, text=True).stdout
        named = set(re.findall(r'name "([^"]+)"', listed))
        check(named and named <= types, named - types)
        for name in sorted(named):
            c.command("device-list-properties", typename=name)
        check(c.error("device-list-properties", typename="nothing")["class"] == "DeviceNotFound", "an unknown type")
        check("non-abstract" in c.error("device-list-properties", typename="pci-device")["desc"], "an abstract type")
        c.command("quit")
        m.ends()


def probe(c):
    """What libvirt asks before it trusts an emulator."""
    for name in ("query-version", "query-target", "query-kvm", "query-qmp-schema", "query-commands", "qom-list-types", "query-machines",
                 "query-cpu-definitions", "query-command-line-options"):
        check(c.command(name), name)
    for kind in c.command("qom-list-types", implements="device"):
        c.command("device-list-properties", typename=kind["name"])
    for machine in c.command("query-machines"):
        c.command("qom-list-properties", typename=machine["name"] + "-machine")
    c.command("query-cpu-model-expansion", type="full", model={"name": "max"})
    c.command("query-cpu-model-expansion", type="static", model={"name": "max", "props": {"sse2": False}})
    options = {o["option"]: {p["name"] for p in o["parameters"]} for o in c.command("query-command-line-options")}
    check({"machine", "drive", "chardev", "smp-opts"} <= set(options) and "hpet" in options["machine"], options)


def test_probe(t):
    """INTERFACE: -machine none in the background; the command returns when the socket listens."""
    path, pid = t.dir / "probe", t.dir / "probe.pid"
    begin = [t.program, "qemu-system-x86_64", "-S", "-no-user-config", "-nodefaults", "-nographic", "-machine", "none,accel=kvm:tcg",
             "-qmp", f"unix:{path},server=on,wait=off", "-pidfile", pid, "-daemonize"]
    p = subprocess.run(begin, capture_output=True, timeout=30)
    check(p.returncode == 0 and p.stdout == p.stderr == b"", p)
    number = int(pid.read_text())
    check(os.readlink(f"/proc/{number}/exe") == os.path.realpath(t.program), "the pid file")
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(path))  # at once
    s.close()
    c = Qmp(path)
    again = subprocess.run([t.program, "qemu-system-x86_64", "-machine", "none", "-display", "none", "-pidfile", pid, "-daemonize"], capture_output=True, timeout=30)
    check(again.returncode == 1 and str(number).encode() in again.stderr and int(pid.read_text()) == number, again)
    check(c.command("query-status") == {"status": "prelaunch", "running": False}, "status")
    check(c.command("query-cpus-fast") == c.command("query-block") == c.command("query-pci") == [], "there is nothing")
    check("no CPU" in c.error("inject-nmi")["desc"] and "no display" in c.error("screendump", filename="x")["desc"], "clear errors")
    probe(c)
    c.command("quit")
    wait_until("the end", lambda: not pathlib.Path(f"/proc/{number}").exists(), 30)
    check(not pid.exists() and not path.exists(), "files are left")
    for wrong in (["-cdrom", "/nonexistent"], ["-qmp", "unix:/nonexistent/q,server=on,wait=off"], ["-nographic"]):
        p = subprocess.run([t.program, "qemu-system-x86_64", "-display", "none", "-daemonize", *wrong], capture_output=True, timeout=30)
        check(p.returncode == 1 and len(p.stderr.splitlines()) == 1, p)
    with Machine(t, "-S") as m:
        c = m.client()
        probe(c)
        c.command("quit")
        m.ends()


def test_ways_in(t):
    """tcp, stdio, pipe, a descriptor of ours, -mon mode=control, -qmp-pretty."""
    base = [t.program, "qemu-system-x86_64", "-machine", "none", "-display", "none"]
    text = b'{"execute": "qmp_capabilities"}{"execute": "query-name"}{"execute": "quit"}'
    p = subprocess.Popen(base + ["-qmp", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdin.write(text)
    p.stdin.flush()
    out = p.stdout.read()
    check(p.wait(30) == 0 and out.count(b'{"return": {}}') == 3, out)
    p = subprocess.Popen(base + ["-chardev", "stdio,id=q", "-mon", "chardev=q,mode=control,pretty=on"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdin.write(text)
    p.stdin.flush()
    out = p.stdout.read()
    check(p.wait(30) == 0 and out.startswith(b'{\n    "QMP": {\n'), out)
    pipe = t.dir / "pipe"
    os.mkfifo(f"{pipe}.in")
    os.mkfifo(f"{pipe}.out")
    p = subprocess.Popen(base + ["-qmp-pretty", f"pipe:{pipe}"])
    with open(f"{pipe}.in", "wb", buffering=0) as i, open(f"{pipe}.out", "rb") as o:
        i.write(text)
        out = b""
        while out.count(b'"return"') < 3:
            out += o.read1()
    check(p.wait(30) == 0, out)
    port = socket.create_server(("127.0.0.1", 0))
    number = port.getsockname()[1]
    port.close()
    p = subprocess.Popen(base + ["-qmp", f"tcp:127.0.0.1:{number},server=on,wait=off"])
    Qmp(("127.0.0.1", number)).command("quit")
    check(p.wait(30) == 0, "tcp")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(t.dir / "given"))
    listener.listen(1)
    p = subprocess.Popen(base + ["-chardev", f"socket,id=m,fd={listener.fileno()},server=on,wait=off", "-mon", "chardev=m,mode=control"], pass_fds=[listener.fileno()])
    c = Qmp(t.dir / "given")
    read, write = os.pipe()
    c.s.sendmsg([b'{"execute": "getfd", "arguments": {"fdname": "mine"}}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [write]))])
    check(c.answer() == {"return": {}}, "getfd")
    os.close(write)
    check("SCM_RIGHTS" in c.error("getfd", fdname="other")["desc"], "getfd without a descriptor")
    c.command("closefd", fdname="mine")
    check(os.read(read, 1) == b"", "the descriptor is still open")
    check("mine" in c.error("closefd", fdname="mine")["desc"], "closed twice")
    c.command("quit")
    check(p.wait(30) == 0, "fd")


def pass_fd(client, fd, request):
    client.s.sendmsg([json.dumps(request).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    answer = client.answer()
    check("return" in answer, f"{request}: {answer}")
    return answer["return"]


def test_sets_of_descriptors(t):
    """add-fd, remove-fd, query-fdsets, -add-fd: /dev/fdset/N wherever a file is opened."""
    disk, serial, fw, dump = (t.dir / n for n in ("set.img", "set.serial", "set.fw", "set.pcap"))
    disk.write_bytes(b"\x55" * 65536)
    fw.write_text("from a set")
    fds = [os.open(disk, os.O_RDWR), os.open(serial, os.O_WRONLY | os.O_CREAT), os.open(fw, os.O_RDONLY), os.open(dump, os.O_WRONLY | os.O_CREAT)]
    words = [w for n, fd in enumerate(fds) for w in ("-add-fd", f"fd={fd},set={n + 3},opaque=file {n}")]
    with Machine(t, *words, "-fda", t.boot_sector(), "-drive", "file=/dev/fdset/3,format=raw,if=virtio", "-chardev", "file,id=s,path=/dev/fdset/4", "-serial", "chardev:s",
                 "-fw_cfg", "name=opt/set,file=/dev/fdset/5", "-netdev", "user,id=n", "-object", "filter-dump,id=d,netdev=n,file=/dev/fdset/6", "-S", pass_fds=fds) as m:
        for fd in fds:
            os.close(fd)
        c = m.client()
        check([(s["fdset-id"], [f["opaque"] for f in s["fds"]]) for s in c.command("query-fdsets")] == [(n + 3, [f"file {n}"]) for n in range(4)], c.command("query-fdsets"))
        c.command("cont")
        wait_until("the serial port's text", lambda: serial.stat().st_size > 0, 30)
        check(dump.read_bytes()[:4] == b"\xd4\xc3\xb2\xa1", "the dump's header")
        shot = os.open(t.dir / "set.ppm", os.O_WRONLY | os.O_CREAT)
        added = pass_fd(c, shot, {"execute": "add-fd", "arguments": {"fdset-id": 9, "opaque": "shot"}})
        check(added["fdset-id"] == 9, added)
        c.command("screendump", filename="/dev/fdset/9")
        check((t.dir / "set.ppm").read_bytes().startswith(b"P6\n"), "the picture")
        added = pass_fd(c, shot, {"execute": "add-fd"})
        check(added["fdset-id"] == 0, f"not the first free set: {added}")
        check("open for this" in c.error("chardev-add", id="r", backend={"type": "file", "data": {"in": "/dev/fdset/9", "out": "/dev/fdset/9"}})["desc"], "reading what is open for writing")
        c.error("screendump", filename="/dev/fdset/77")
        c.command("chardev-add", id="x", backend={"type": "file", "data": {"out": "/dev/fdset/0", "append": True}})
        c.command("remove-fd", fdset_id=0, fd=added["fd"])
        check("not found" in c.error("remove-fd", fdset_id=0)["desc"] and "not found" in c.error("remove-fd", fdset_id=9, fd=99)["desc"], "removed twice")
        c.command("remove-fd", fdset_id=9)
        check([s["fdset-id"] for s in c.command("query-fdsets")] == [3, 4, 5, 6], c.command("query-fdsets"))
        check("SCM_RIGHTS" in c.error("add-fd")["desc"], "add-fd without a descriptor")
        c.command("quit")
        m.ends()
    run = subprocess.run([t.program, "qemu-system-x86_64", "-add-fd", "fd=63,set=1"], capture_output=True, text=True)
    check(run.returncode == 1 and "no descriptor 63" in run.stderr, run.stderr)
    run = subprocess.run([t.program, "qemu-system-x86_64", "-serial", "file:/dev/fdset/1"], capture_output=True, text=True)
    check(run.returncode == 1 and "-add-fd" in run.stderr, run.stderr)


HEADER = 21  # bytes of the client's own before the state, as libvirt's files have


def test_migration(t):
    """A machine goes to a file, a program and a descriptor, and comes back in another process."""
    what = ("-fda", t.boot_sector())
    events = [{"capability": "events", "state": True}]
    for way in ("file", "exec", "fd"):
        file = t.dir / f"moved.{way}"
        with Machine(t, *what) as m:
            c = m.client()
            wait_until("the boot sector's text", lambda: "FLOPPY-BOOT-OK" in c.hmp("info screen"), 60)
            check(c.command("query-migrate") == {} and "no migration" in c.hmp("info migrate"), "there was none")
            check("no way" in c.error("migrate", uri="nowhere")["desc"] and "not built" in c.error("migrate", uri="tcp:localhost:1")["desc"], "ways that are none")
            c.command("migrate-set-capabilities", capabilities=events)
            c.command("migrate-set-parameters", max_bandwidth=1 << 30)
            check(c.command("query-migrate-parameters")["max-bandwidth"] == 1 << 30, "a parameter")
            if way == "fd":
                fd = os.open(file, os.O_WRONLY | os.O_CREAT)
                os.write(fd, b"h" * HEADER)
                pass_fd(c, fd, {"execute": "getfd", "arguments": {"fdname": "migrate"}})
                os.close(fd)
            c.command("migrate", uri={"file": f"file:{file},offset={HEADER}", "exec": f"exec:(printf %{HEADER}s; cat) > {file}", "fd": "fd:migrate"}[way])
            states = []
            while not states or states[-1] not in ("completed", "failed"):
                states.append(c.event("MIGRATION")["data"]["status"])
            info = c.command("query-migrate")
            check(states == ["setup", "active", "completed"] and info["status"] == "completed" and info["ram"]["remaining"] == 0 and info["total-time"] >= 0, f"{way}: {states} {info}")
            check("completed" in c.hmp("info migrate") and c.command("query-status")["status"] == "postmigrate", c.command("query-status"))
            c.command("quit")
            m.ends()
        fd = os.open(file, os.O_RDONLY)
        os.lseek(fd, HEADER, os.SEEK_SET)
        source = {"file": f"file:{file},offset={HEADER}", "exec": f"exec:tail -c +{HEADER + 1} {file}", "fd": f"fd:{fd}"}[way]
        with Machine(t, *what, "-incoming", "defer", pass_fds=[fd]) as m:
            c = m.client()
            check(c.command("query-status") == {"status": "inmigrate", "running": False}, "waiting")
            check("waits" in c.error("cont")["desc"] and "waits" in c.error("migrate", uri=f"file:{file}")["desc"], "a machine that waits")
            c.command("migrate-set-capabilities", capabilities=events)
            c.command("migrate-incoming", uri=source)
            while (state := c.event("MIGRATION")["data"]["status"]) not in ("completed", "failed"):
                pass
            check(state == "completed", c.command("query-migrate"))
            wait_until("the machine to run", lambda: c.command("query-status")["running"], 10)
            check("FLOPPY-BOOT-OK" in c.hmp("info screen"), "what was on the screen")
            check("does not wait" in c.error("migrate-incoming", uri=source)["desc"], "twice")
            c.command("quit")
            m.ends()
        os.close(fd)
    with Machine(t, *what, "-S", "-incoming", f"file:{t.dir / 'moved.file'},offset={HEADER}") as m:
        c = m.client()
        wait_until("the state", lambda: c.command("query-status")["status"] == "paused", 20)
        c.command("cont")
        c.command("quit")
        m.ends()
    # Another machine, a damaged state, no state.
    damaged = bytearray((t.dir / "moved.file").read_bytes()[HEADER:])
    damaged[len(damaged) // 2] ^= 1
    (t.dir / "damaged").write_bytes(damaged)
    for words, said in ((("-smp", "2", "-incoming", f"file:{t.dir / 'moved.file'},offset={HEADER}"), "-smp 1"), (("-incoming", f"file:{t.dir / 'damaged'}"), "damaged"),
                        (("-incoming", f"file:{t.dir / 'none'}"), "none"), (("-incoming", "exec:true"), "no state")):
        run = subprocess.run([t.program, "qemu-system-x86_64", "-display", "none", "-m", "32", *map(str, what), *words], capture_output=True, text=True, timeout=60)
        check(run.returncode == 1 and said in run.stderr, f"{words}: {run.returncode} {run.stderr}")
    # A reader that does not read: cancelled, the machine goes on.
    with Machine(t, *what) as m:
        c = m.client()
        wait_until("the boot sector's text", lambda: "FLOPPY-BOOT-OK" in c.hmp("info screen"), 60)
        c.command("migrate", uri="exec:sleep 5")
        time.sleep(0.5)
        c.command("migrate_cancel")
        wait_until("the end of it", lambda: c.command("query-migrate")["status"] in ("cancelled", "completed"), 60)
        c.command("quit")
        m.ends()


def test_throttle(t):
    """block_set_io_throttle changes what query-block tells, and what a disk may do."""
    disk = t.dir / "throttled.img"
    disk.write_bytes(bytes(1 << 20))
    with Machine(t, "-drive", f"file={disk},format=raw,if=none,id=d", "-device", "virtio-blk-pci,drive=d,id=v", "-cdrom", t.boot_sector(), "-S") as m:
        c = m.client()
        none = dict(bps=0, bps_rd=0, bps_wr=0, iops=0, iops_rd=0, iops_wr=0)

        def limits():
            inserted = next(b for b in c.command("query-block") if b["device"] == "d")["inserted"]
            return {k: v for k, v in inserted.items() if k.startswith(("bps", "iops")) and v}

        def throttle(how, **arguments):
            o = {"execute": "block_set_io_throttle", "arguments": {**none, **arguments}}
            c.send(json.dumps(o))
            answer = c.answer()
            check(how in answer, f"{arguments}: {answer}")
            return answer[how]
        check(limits() == {}, limits())
        for name in ("v", "/machine/peripheral/v", "/machine/peripheral/v/virtio-backend"):
            throttle("return", id=name, bps=1000000, iops_rd=100, iops_rd_max=300)
            check(limits() == {"bps": 1000000, "iops_rd": 100, "iops_rd_max": 300}, limits())
            throttle("return", id=name)
            check(limits() == {}, limits())
        check("same time" in throttle("error", id="v", bps=1, bps_rd=1)["desc"], "total and reads")
        check("not built" in throttle("error", id="v", bps=1, group="g")["desc"], "group")
        check(throttle("error", id="nosuch", bps=1)["class"] == "DeviceNotFound", "no such drive")
        check("hard disk" in throttle("error", id="ide1-cd0", bps=1)["desc"], "a CD drive")
        c.command("quit")
        m.ends()


DISKS = {
    "virtio-blk-pci": ("", []),
    "nvme": (",serial=s", []),
    "ide-hd": (",bus=ahci.0", ["-device", "ahci,id=ahci"]),
    "scsi-hd": (",bus=scsi.0", ["-device", "virtio-scsi-pci,id=scsi"]),
}


class DiskErrors(Machine):
    """A guest that writes a sector of a disk and reads it back."""

    def __init__(self, t, driver, rules, image, fmt="raw"):
        where, more = DISKS[driver]
        of_drive, of_device = (rules, "") if driver == "nvme" else ("", rules)  # nvme has no rules of its own
        super().__init__(t, "-fda", t.boot_sector("tests/qmp/disk_errors.s"), "-boot", "a", "-nic", "none", "-serial", "stdio", "-monitor", "none",
                         "-drive", f"if=none,id=d,file={image},format={fmt}{of_drive}", *more, "-device", f"{driver},drive=d{where}{of_device}", "-S")
        self.text = b""

    def limit(self, size):
        """Of the files that it writes: beyond, a write fails with EFBIG."""
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def says(self, word):
        def there():
            if select.select([self.process.stdout], [], [], 0)[0]:
                self.text += os.read(self.process.stdout.fileno(), 4096)
            return word.encode() in self.text
        wait_until(f"the guest says {word!r} (it has said {self.text})", there, 60, 0.05)


def broken_image(t):
    """A qcow2 image whose clusters can't be read: their places are no clusters."""
    path = t.dir / "broken.qcow2"
    subprocess.run([t.program, "img", "create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", path, "1M"], check=True)
    with open(path, "r+b") as f:
        f.seek(40)
        f.seek(int.from_bytes(f.read(8), "big"))
        table = int.from_bytes(f.read(8), "big") & 0x00fffffffffffe00
        f.seek(table)
        f.write(b"".join((1 << 63 | 0x50200).to_bytes(8, "big") for _ in range(16)))
    return path


def test_disk_errors(t):
    """werror= and rerror= of -device, which go before those of -drive: told to the guest, passed over, or the machine stops and tries again."""
    disk = t.dir / "limited.img"
    for driver in DISKS:
        for rules, action in (("", "report"), (",werror=report", "report"), (",werror=enospc", "report"), (",werror=ignore", "ignore")):
            disk.write_bytes(bytes(1 << 20))
            with DiskErrors(t, driver, rules, disk) as m:
                c = m.client()
                m.limit(65536)
                c.command("cont")
                e = c.event("BLOCK_IO_ERROR")["data"]
                check(e["operation"] == "write" and e["action"] == action and e["device"] == "d" and not e["nospace"], e)
                m.says("!\n")
                check(re.search(rb"W[0-9A-F]{2}R\.!\n$" if action == "report" else rb"W\.R\.!\n$", m.text), f"{driver}{rules}: {m.text}")
                check(c.command("query-status")["status"] == "running", "status")
        disk.write_bytes(bytes(1 << 20))
        with DiskErrors(t, driver, ",werror=stop", disk) as m:
            c = m.client()
            m.limit(65536)
            c.command("cont")
            for _ in range(2):  # the second time by `cont`, which finds the same
                check(c.event("BLOCK_IO_ERROR")["data"]["action"] == "stop", "action")
                c.event("STOP")
                check(c.command("query-status")["status"] == "io-error", "status")
                c.command("cont")
            c.event("STOP")
            m.limit(resource.RLIM_INFINITY)
            c.command("cont")
            m.says("W.R.=\n")  # nothing is lost
        check(disk.read_bytes()[1024 * 512:1025 * 512] == b"\x21\x43" * 256, f"{driver}: the sector on the host")
    for driver in DISKS:
        for rules, said in ((",rerror=ignore,werror=ignore", rb"W\.R\.!\n$"), ("", rb"W[0-9A-F]{2}R[0-9A-F]{2}!\n$")):
            with DiskErrors(t, driver, rules, broken_image(t), "qcow2") as m:
                c = m.client()
                c.command("cont")
                m.says("!\n")
                check(re.search(said, m.text), f"{driver}{rules}: {m.text}")
        with DiskErrors(t, driver, ",rerror=stop,werror=ignore", broken_image(t), "qcow2") as m:
            c = m.client()
            c.command("cont")
            c.event("STOP")
            check(c.command("query-status")["status"] == "io-error", "status while the request waits")
            c.command("system_reset")  # forgets the request
            wait_until("paused after the reset", lambda: c.command("query-status")["status"] == "paused", 10)
    for of_drive, of_device, words in (("", ",werror=often", ("werror", "often", "auto")),):
        with Machine(t, "-drive", f"if=none,id=d,file={disk},format=raw{of_drive}", "-device", f"virtio-blk-pci,drive=d{of_device}") as m:
            check(m.process.wait(30) != 0, "exit status")
            text = m.process.stdout.read().decode()
            check(all(word in text for word in words), text)


def test_memory_backends(t):
    """RAM on a file that others see, and memory of its own; both are objects."""
    shared = t.dir / "ram"
    args = ["-object", f"memory-backend-file,id=pc.ram,size={32 << 20},mem-path={shared},share=on", "-machine", "pc,memory-backend=pc.ram",
            "-fda", t.boot_sector()]
    with Machine(t, *args) as m:
        c = m.client()
        wait_until("the boot sector's text", lambda: "SECOND-SECTOR-OK" in c.hmp("info screen"), 60)
        c.command("stop")
        low = m.dir / "low"
        c.command("pmemsave", val=0x7c00, size=512, filename=str(low))
        check(shared.stat().st_size == 32 << 20 and shared.read_bytes()[0x7c00:0x7e00] == low.read_bytes() != bytes(512), "the file is not the memory")
        check(c.command("qom-get", path="/objects/pc.ram", property="size") == 32 << 20, "size")
        c.command("quit")
        m.ends()
    for wrong, words in ((["-machine", "pc,memory-backend=gone"], "gone"), (["-object", "memory-backend-ram,id=r,size=1M", "-machine", "pc,memory-backend=r"], "agree"),
                         (["-object", "memory-backend-file,id=r,size=1M"], "mem-path"), (["-object", f"memory-backend-file,id=r,size=32M,mem-path={t.dir}", "-machine", "memory-backend=r"], str(t.dir))):
        p = subprocess.run([t.program, "qemu-system-x86_64", "-display", "none", "-m", "32", *wrong], capture_output=True, text=True, timeout=30)
        check(p.returncode == 1 and words in p.stderr and len(p.stderr.splitlines()) == 1, f"{wrong}: {p}")


def test_blockdev_and_json(t):
    """The options that libvirt writes: nodes, JSON, a serial port of its own chardev."""
    disk, console = t.dir / "disk.img", t.dir / "console"
    disk.write_bytes(b"\5" * (1 << 20))
    args = ["-blockdev", json.dumps({"driver": "file", "filename": str(disk), "node-name": "storage", "auto-read-only": True, "discard": "unmap", "cache": {"direct": False}}),
            "-blockdev", '{"node-name": "format", "read-only": true, "driver": "raw", "file": "storage"}',
            "-device", '{"driver": "ide-hd", "bus": "ide.1", "unit": 1, "drive": "format", "id": "d1", "bootindex": 2}',
            "-blockdev", f"raw,node-name=floppy,file.driver=file,file.filename={t.boot_sector()},read-only=on", "-device", "floppy,drive=floppy,id=fl,bootindex=1",
            "-chardev", f"file,id=charserial0,path={console}", "-device", "isa-serial,chardev=charserial0,id=serial0,index=0",
            "-netdev", '{"type": "user", "id": "n0", "hostfwd": [{"str": "tcp:127.0.0.1:0-:22"}]}', "-device", '{"driver": "e1000", "netdev": "n0", "id": "net0", "addr": "0x5"}',
            "-msg", "timestamp=on", "-overcommit", "mem-lock=off", "-nodefaults"]
    with Machine(t, *args) as m:
        c = m.client()
        drives = {d["qdev"]: d for d in c.command("query-block")}
        d1 = drives["/machine/peripheral/d1"]
        check(d1["inserted"]["file"] == str(disk) and d1["inserted"]["ro"] and d1["device"] == "" and d1["inserted"]["node-name"] == "format", drives)
        wait_until("the boot sector's text on the serial port", lambda: b"SECOND-SECTOR-OK" in console.read_bytes(), 60)
        check(c.command("qom-get", path="/machine/peripheral/serial0", property="type") == "isa-serial", "serial0")
        card = [d for d in c.command("query-pci")[0]["devices"] if d["qdev_id"] == "net0"]
        check(len(card) == 1 and card[0]["slot"] == 5, card)
        check("tcp:127.0.0.1" in c.hmp("info usernet") or "TCP[HOST_FORWARD]" in c.hmp("info usernet"), c.hmp("info usernet"))
        c.command("quit")
        m.ends()
    for wrong, words in ((["-blockdev", '{"driver": "raw"'], "JSON"), (["-blockdev", "raw,node-name=a,file=b"], "'b'"), (["-blockdev", "nbd,node-name=a"], "nbd"),
                         (["-blockdev", "file,node-name=a,filename=x,color=red"], "color"), (["-device", "isa-serial,chardev=gone"], "gone"), (["-device", "isa-serial"], "chardev="),
                         (["-overcommit", "mem-lock=on"], "mem-lock")):
        p = subprocess.run([t.program, "qemu-system-x86_64", "-display", "none", *wrong], capture_output=True, text=True, timeout=30)
        check(p.returncode in (1, 2) and words in p.stderr and len(p.stderr.splitlines()) == 1, f"{wrong}: {p}")


def test_snapshot_jobs(t):
    """snapshot-save, -load and -delete as jobs: their steps, what they leave behind, what can't be done."""
    disks = []
    for n in range(2):
        disks.append(t.dir / f"job{n}.qcow2")
        disks[n].unlink(missing_ok=True)
        subprocess.run([t.program, "img", "create", "-q", "-f", "qcow2", disks[n], "8M"], check=True)
    raw = t.dir / "job.raw"
    raw.write_bytes(bytes(1 << 20))
    drives = [w for n, d in enumerate(disks) for w in ("-drive", f"file={d},if=virtio,id=disk{n}")]
    with Machine(t, "-nic", "none", *drives, "-drive", f"file={raw},format=raw,if=virtio,id=raw") as m:
        c = m.client()

        def job(command, job_id, **arguments):
            """Runs one to its end; the steps it went through and how it is listed then."""
            c.events.clear()
            c.command(command, job_id=job_id, **arguments)
            steps = []
            while "concluded" not in steps:
                e = c.event("JOB_STATUS_CHANGE")
                check(e["data"]["id"] == job_id, e)
                steps.append(e["data"]["status"])
            info = [j for j in c.command("query-jobs") if j["id"] == job_id]
            check(len(info) == 1 and info[0]["type"] == command and info[0]["current-progress"] == info[0]["total-progress"], info)
            c.events.clear()
            c.command("job-dismiss", id=job_id)
            check(c.event("JOB_STATUS_CHANGE")["data"] == {"id": job_id, "status": "null"}, "null")
            check(c.command("query-jobs") == [], "query-jobs after job-dismiss")
            return steps, info[0].get("error")

        def good(command, job_id, **arguments):
            steps, error = job(command, job_id, **arguments)
            check(error is None and steps == ["created", "running", "waiting", "pending", "concluded"], f"{command}: {steps} {error}")

        def bad(pattern, command, job_id, **arguments):
            steps, error = job(command, job_id, **arguments)
            check(steps == ["created", "running", "aborting", "concluded"] and error and re.search(pattern, error), f"{command}: {steps} {error}")

        both = {"vmstate": "disk1", "devices": ["disk0", "disk1"]}
        good("snapshot-save", "save0", tag="first", **both)
        good("snapshot-save", "save1", tag="one-disk", vmstate="disk0", devices=["disk0"])
        check(c.command("query-status")["status"] == "running", "after saving")
        bad("already exists", "snapshot-save", "s", tag="first", **both)
        bad("No block device node 'nonesuch'", "snapshot-save", "s", tag="x", vmstate="nonesuch", devices=["nonesuch"])
        bad("does not support snapshots", "snapshot-save", "s", tag="x", vmstate="raw", devices=["raw"])
        bad("vmstate block device 'disk1'", "snapshot-save", "s", tag="x", vmstate="disk1", devices=["disk0"])
        bad("does not exist in one or more devices", "snapshot-load", "s", tag="x", **both)
        good("snapshot-load", "load0", tag="first", **both)
        c.command("stop")
        good("snapshot-load", "load1", tag="first", **both)
        check(c.command("query-status")["status"] == "paused", "a stopped machine stays so")
        c.command("cont")
        good("snapshot-delete", "delete0", tag="one-disk", devices=["disk0"])
        bad("does not exist", "snapshot-delete", "delete1", tag="one-disk", devices=["disk0"])
        for job_id in ("", "0x", "a b", "\u00e4"):
            check("Invalid job ID" in c.error("snapshot-delete", job_id=job_id, tag="x", devices=["disk0"])["desc"], job_id)
        check("Job not found" in c.error("job-dismiss", id="nope")["desc"], "job-dismiss")
        c.command("snapshot-save", job_id="twice", tag="second", **both)
        check("already in use" in c.error("snapshot-save", job_id="twice", tag="third", **both)["desc"], "an id twice")
        c.command("quit")  # while the job may be at work
        m.ends()
    for disk, sizes in zip(disks, ([0, 0], [1, 1])):
        info = json.loads(subprocess.run(["qemu-img", "info", "--output=json", disk], capture_output=True, check=True).stdout)
        found = {s["name"]: s["vm-state-size"] for s in info["snapshots"]}
        check("first" in found and "one-disk" not in found and bool(found["first"]) == bool(sizes[0]), f"{disk}: {found}")
        p = subprocess.run(["qemu-img", "check", disk], capture_output=True, text=True)
        check("No errors" in p.stdout, p.stdout)


def test_documentation(t):
    """docs/qmp.md is what the definitions say (scripts/qmp_docs.sh writes it)."""
    made = subprocess.run([t.program, "list", "qmp"], capture_output=True, text=True, check=True).stdout
    check(made == (ROOT / "docs/qmp.md").read_text(), "docs/qmp.md is old: run scripts/qmp_docs.sh")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: tests/qmp/run.py DOPPEL [NAME...]")
    sys.exit(run_tests("qmp", globals(), Tester(sys.argv[1]), sys.argv[2:]))
