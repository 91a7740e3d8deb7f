#!/usr/bin/env python3
"""Cards that come and go in a running Linux guest: tests/plug/run.py build/release/doppel [NAME...]; last line: N passed, N failed."""
import hashlib
import os
import pathlib
import re
import select
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import GUESTS, Failure, check, run_tests, wait_until  # noqa: E402
from qmp_client import Qmp  # noqa: E402

BAD = re.compile(r"Kernel panic|BUG:|Oops|rcu.*stall|Call Trace|I/O error")


class Tester:
    def __init__(self, program):
        self.program = str(pathlib.Path(program).resolve())
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="doppel-plug."))

    def image(self, name, megabytes=4):
        data = os.urandom(megabytes << 20)
        path = self.dir / name
        path.write_bytes(data)
        return path, data


class Guest:
    """A Linux guest with a shell on its serial port, and a QMP client."""

    def __init__(self, t, *args, monitors=1, guest="amd64-plug"):
        self.dir = pathlib.Path(tempfile.mkdtemp(dir=t.dir))
        qmp = [w for i in range(monitors) for w in ("-qmp", f"unix:{self.dir}/qmp{i},server=on,wait=off")]
        self.p = subprocess.Popen([t.program, "qemu-system-x86_64", "-m", "256", "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", *qmp,
                                   "-kernel", str(GUESTS / guest / "vmlinuz"), "-initrd", str(GUESTS / guest / "initrd.gz"),
                                   "-append", "console=ttyS0 quiet guest_quiet guest_end=shell", *map(str, args)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.text, self.commands = "", 0
        wait_until("the monitor's socket", lambda: (self.dir / "qmp0").exists() or self.p.poll() is not None, 60)
        if self.p.poll() is not None:
            raise Failure(f"the emulator ended: {self.p.stdout.read().decode(errors='replace')}")
        self.qmp = Qmp(self.dir / "qmp0")

    def client(self, n):
        return Qmp(self.dir / f"qmp{n}")

    def read(self, seconds):
        if select.select([self.p.stdout], [], [], seconds)[0]:
            part = os.read(self.p.stdout.fileno(), 65536)
            if not part:
                raise Failure("the emulator ended:\n" + self.text[-1500:])
            self.text += part.decode(errors="replace").replace("\r", "")
            if BAD.search(self.text):
                raise Failure("in the guest:\n" + self.text[-2500:])

    def wait(self, pattern, timeout=120, start=0):
        end = time.time() + timeout
        while not (m := re.search(pattern, self.text[start:])):
            if time.time() > end:
                raise Failure(f"no {pattern!r} after {timeout} s:\n" + self.text[-1500:])
            self.read(0.5)
        return m

    def up(self):
        self.wait(r"/ # ")
        return self

    def run(self, command, timeout=120):
        """What a command prints. Marks in its output are not those of the echoed line."""
        self.commands += 1
        n, start = self.commands, len(self.text)
        self.p.stdin.write(f"echo BEG\"\"IN{n}; {command}; echo EN\"\"D{n}\n".encode())
        self.p.stdin.flush()
        return self.wait(rf"BEGIN{n}\n((?:.|\n)*?)END{n}\n", timeout, start)[1]

    def until(self, condition, timeout=30):
        """Runs a shell condition again and again in the guest."""
        said = self.run(f"i=0; while ! {{ {condition}; }} && [ $i -lt {timeout * 10} ]; do busybox usleep 100000; i=$((i+1)); done; "
                        f"{{ {condition}; }} && echo ok")
        check(said.strip().endswith("ok"), f"never in the guest: {condition}\n{self.text[-800:]}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait()
        self.p.stdout.close()
        self.p.stdin.close()


def disk_round(g, q, image, data, n):
    """A disk comes, is read and written, and goes; every node too."""
    q.command("blockdev-add", driver="file", node_name="file0", filename=str(image))
    q.command("blockdev-add", driver="raw", node_name="disk0", file="file0")
    q.command("device_add", driver="virtio-blk-pci", id="d0", drive="disk0", serial=f"round-{n}")
    g.until("[ -b /dev/vda ]")
    want = hashlib.sha256(data).hexdigest()
    said = g.run("cat /sys/block/vda/serial; echo; sha256sum /dev/vda")
    check(want in said and f"round-{n}" in said, f"round {n}: expected {want}:\n{said}")
    g.run(f"echo written-in-round-{n} | dd of=/dev/vda bs=512 seek=9 conv=notrunc,fsync 2>/dev/null")
    row = [r for r in q.command("query-blockstats") if r["qdev"] == "/machine/peripheral/d0/virtio-backend"][0]
    check(row["stats"]["rd_bytes"] >= len(data) and row["stats"]["wr_operations"] >= 1 and row["node-name"] == "disk0", row)
    check("used by" in q.error("blockdev-del", node_name="disk0")["desc"], "a node in use went")
    q.command("device_del", id="d0")
    check(q.event("DEVICE_DELETED")["data"] == {"device": "d0", "path": "/machine/peripheral/d0"}, "DEVICE_DELETED")
    q.command("blockdev-del", node_name="disk0")
    q.command("blockdev-del", node_name="file0")
    g.until("[ ! -b /dev/vda ]")
    check(image.read_bytes()[9 * 512:].startswith(f"written-in-round-{n}\n".encode()), "the written sector is not in the image")
    return image.read_bytes()


def nic_round(g, q, n, model):
    """A card comes, has its address, answers a ping, and goes; its back end too."""
    mac = f"52:54:00:aa:bb:{n:02x}"
    q.command("netdev_add", type="user", id="n0", net="10.0.5.0/24")
    q.command("device_add", driver=model, id="plugged", netdev="n0", mac=mac)
    g.until(f"grep -q {mac} /sys/class/net/*/address")
    card = g.run(f"basename $(dirname $(grep -l {mac} /sys/class/net/*/address))").strip()
    said = g.run(f"ip link set {card} up; ip addr add 10.0.5.15/24 dev {card}; ping -c 3 -W 5 10.0.5.2; ip link set {card} down")
    check(re.search(r"3 packets transmitted, [123] packets received", said), f"{model}, round {n}:\n{said}")
    check(any(d["qdev_id"] == "plugged" for d in q.command("query-pci")[0]["devices"]), "query-pci does not have the card")
    check(q.command("qom-get", path="/machine/peripheral/plugged", property="hotplugged"), "it does not say hotplugged")
    q.command("device_del", id="plugged")
    check(q.event("DEVICE_DELETED")["data"]["device"] == "plugged", "DEVICE_DELETED")
    q.command("netdev_del", id="n0")
    g.until(f"! grep -q {mac} /sys/class/net/*/address")
    check("plugged" not in q.hmp("info network") + q.hmp("info qdm") + q.hmp("info pci"), "something of the card is left")


def rounds(t, count, *args):
    image, data = t.image("disk.img")
    with Guest(t, *args) as g:
        g.up()
        q = g.qmp
        before = q.hmp("info mtree")
        for n in range(count):
            data = disk_round(g, q, image, data, n)
            nic_round(g, q, n, ("virtio-net-pci", "e1000", "rtl8139")[n % 3])
        check(q.hmp("info mtree") == before, f"windows are left:\n{before}\n{q.hmp('info mtree')}")
        end(g)


def test_rounds(t):
    """A disk and three kinds of network cards, plugged in and out."""
    rounds(t, 3)


def test_full_twenty_rounds(t):
    rounds(t, 20, "-smp", "2")


def end(g):
    g.p.stdin.write(b"poweroff -f\n")
    g.p.stdin.flush()
    check(g.p.wait(60) == 0, "exit status")


def open_node(q, name, image):
    q.command("blockdev-add", driver="file", node_name=name + "-file", filename=str(image))
    q.command("blockdev-add", driver="raw", node_name=name, file=name + "-file")


def close_node(q, name):
    q.command("blockdev-del", node_name=name)
    q.command("blockdev-del", node_name=name + "-file")


def deleted(q, *names):
    gone = [q.event("DEVICE_DELETED")["data"]["device"] for _ in names]
    check(sorted(gone) == sorted(names), f"DEVICE_DELETED of {gone}, not of {names}")


def scsi_round(g, q, bus, image, data, n):
    """A disk and a CD come to a SCSI bus; the disk is read and written; both go."""
    open_node(q, "disk", image)
    q.command("device_add", driver="scsi-hd", id="hd", drive="disk", bus=bus, serial=f"round-{n}", scsi_id=n % 7 + 1)
    g.until("[ -b /dev/sda ]")
    said = g.run("sha256sum /dev/sda; cat /sys/block/sda/device/vpd_pg80; ls -d /sys/block/sda/device/scsi_disk/*")
    check(hashlib.sha256(data).hexdigest() in said and f"round-{n}" in said and f":0:{n % 7 + 1}:0" in said, f"round {n}:\n{said}")
    g.run(f"echo written-in-round-{n} | dd of=/dev/sda bs=512 seek=9 conv=notrunc,fsync 2>/dev/null")
    q.command("device_add", driver="scsi-cd", id="cd", bus=bus)
    g.until("[ -b /dev/sr0 ]")
    check({d["qdev"] for d in q.command("query-block") if d.get("qdev")} >= {"hd", "cd"} or "cd" in q.hmp("info block"), "query-block")
    check("is used by" in q.error("device_add", driver="scsi-hd", id="twice", drive="disk", bus=bus)["desc"], "a drive twice")
    check("taken" in q.error("device_add", driver="scsi-cd", id="twice", bus=bus, scsi_id=n % 7 + 1)["desc"], "a place twice")
    for name in ("hd", "cd"):
        q.command("device_del", id=name)
    deleted(q, "hd", "cd")
    close_node(q, "disk")
    g.until("[ ! -b /dev/sda ] && [ ! -b /dev/sr0 ]")
    check(image.read_bytes()[9 * 512:].startswith(f"written-in-round-{n}\n".encode()), "the written sector is not in the image")
    return image.read_bytes()


def controller_round(g, q, image, data, n):
    """Controllers come and go, with what is on their buses."""
    q.command("device_add", driver="virtio-scsi-pci", id="hba")
    open_node(q, "disk", image)
    q.command("device_add", driver="scsi-hd", id="below", drive="disk", bus="hba.0", lun=n)
    g.until("[ -b /dev/sda ]")
    check(hashlib.sha256(data).hexdigest() in g.run("sha256sum /dev/sda"), f"round {n}: another disk")
    q.command("device_del", id="hba")
    deleted(q, "hba", "below")
    g.until("[ ! -b /dev/sda ]")
    q.command("device_add", driver="nvme", id="ssd", drive="disk", serial=f"round-{n}")
    g.until("[ -b /dev/nvme0n1 ]")
    said = g.run("sha256sum /dev/nvme0n1; cat /sys/block/nvme0n1/device/serial")
    check(hashlib.sha256(data).hexdigest() in said and f"round-{n}" in said, said)
    q.command("device_del", id="ssd")
    deleted(q, "ssd")
    g.until("[ ! -b /dev/nvme0n1 ]")
    q.command("device_add", driver="ahci", id="sata")
    g.until("[ -d /sys/bus/pci/drivers/ahci/0000* ]")
    for bus in ("sata.0", "ide.0"):
        check("does not support hotplugging" in q.error("device_add", driver="ide-hd", id="no", drive="disk", bus=bus)["desc"], f"a drive came to {bus}")
    q.command("device_del", id="sata")
    deleted(q, "sata")
    g.until("[ ! -d /sys/bus/pci/drivers/ahci/0000* ]")
    close_node(q, "disk")


def scsi_rounds(t, count, *args):
    image, data = t.image("disk.img")
    with Guest(t, "-device", "virtio-scsi-pci,id=scsi0", *args, guest="amd64-disk") as g:
        g.up()
        q = g.qmp
        before = q.hmp("info mtree")
        for n in range(count):
            data = scsi_round(g, q, "scsi0.0", image, data, n)
            controller_round(g, q, image, data, n)
        check(q.hmp("info mtree") == before, f"windows are left:\n{before}\n{q.hmp('info mtree')}")
        end(g)


def test_scsi_drives(t):
    """SCSI drives come and go on a virtio-scsi, whose events tell the guest; controllers come and go."""
    scsi_rounds(t, 2)


def test_full_scsi_rounds(t):
    scsi_rounds(t, 20, "-smp", "2")


def test_scsi_under_load(t):
    """A disk goes while the guest reads and writes it: the guest has errors, the machine goes on."""
    image, _ = t.image("disk.img", 16)
    with Guest(t, "-smp", "2", "-device", "virtio-scsi-pci,id=scsi0", guest="amd64-disk") as g:
        g.up()
        q = g.qmp
        for _ in range(3):
            open_node(q, "disk", image)
            q.command("device_add", driver="scsi-hd", id="hd", drive="disk", bus="scsi0.0")
            g.until("[ -b /dev/sda ]")
            # By a descriptor: once the disk is gone its name must not become a file.
            g.run("dmesg -n 1; (while dd if=/dev/sda of=/dev/null bs=64k && dd if=/dev/zero of=/proc/self/fd/3 bs=64k count=200; do :; done) 3<>/dev/sda > /dev/null 2>&1 & true")
            time.sleep(0.5)
            q.command("device_del", id="hd")
            deleted(q, "hd")
            close_node(q, "disk")
            g.until("[ ! -b /dev/sda ]")
        end(g)


def test_ports(t):
    """Streams and consoles come and go on a virtio-serial; bytes go both ways."""
    with Guest(t, "-device", "virtio-serial-pci,id=vs") as g:
        g.up()
        q = g.qmp
        for n in range(3):
            path = t.dir / f"port{n}"
            q.command("chardev-add", id="c", backend={"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": str(path)}}, "server": True, "wait": False}})
            q.command("device_add", driver="virtserialport", id="p", bus="vs.0", chardev="c", name=f"org.test.{n}")
            g.until(f"grep -q org.test.{n} /sys/class/virtio-ports/*/name")
            port = "/dev/" + g.run(f"basename $(dirname $(grep -l org.test.{n} /sys/class/virtio-ports/*/name))").strip()
            s = socket.socket(socket.AF_UNIX)
            s.connect(str(path))
            s.sendall(f"from-host-{n}\n".encode())
            check(f"from-host-{n}" in g.run(f"head -n 1 {port}"), f"round {n}: nothing came")
            g.run(f"echo from-guest-{n} > {port}")
            s.settimeout(30)
            check(s.recv(100) == f"from-guest-{n}\n".encode(), f"round {n}: nothing went")
            check("p" in {o["name"] for o in q.command("qom-list", path="/machine/peripheral")}, "qom-list does not have the port")
            check("used by" in q.error("device_add", driver="virtconsole", chardev="c")["desc"], "a character device twice")
            q.command("device_del", id="p")
            deleted(q, "p")
            g.until(f"! grep -q org.test.{n} /sys/class/virtio-ports/*/name")
            s.close()
            q.command("chardev-remove", id="c")
        q.command("chardev-add", id="k", backend={"type": "ringbuf", "data": {"size": 4096}})
        q.command("device_add", driver="virtconsole", id="con", chardev="k")
        g.until("[ -c /dev/hvc0 ]")
        g.run("echo on-the-console > /dev/hvc0")
        check("on-the-console" in q.command("ringbuf-read", device="k", size=1000), "ringbuf-read")
        q.command("device_del", id="vs")    # the card takes its ports with it
        deleted(q, "vs", "con")
        check("needs a console device" in q.error("device_add", driver="virtconsole", chardev="k")["desc"], "a port without a card")
        q.command("device_add", driver="virtio-serial-pci", id="vs")
        q.command("device_add", driver="virtconsole", id="con", chardev="k", bus="vs.0")
        g.until("ls /sys/class/virtio-ports | grep -q .")
        end(g)


def test_port_opens_and_closes(t):
    """The host hears when the guest opens a port and closes it; the guest, when a client comes and goes."""
    path = t.dir / "agent"
    with Guest(t, "-device", "virtio-serial-pci,id=vs", "-chardev", f"socket,id=c,path={path},server=on,wait=off",
               "-device", "virtserialport,bus=vs.0,chardev=c,id=agent,name=org.test.agent") as g:
        g.up()
        q = g.qmp

        def opened(now):
            data = q.event("VSERPORT_CHANGE")["data"]
            check(data == {"id": "agent", "open": now}, data)
            said = [c["frontend-open"] for c in q.command("query-chardev") if c["label"] == "c"]
            check(said == [now], f"query-chardev: {said}")

        def client():
            s = socket.socket(socket.AF_UNIX)
            s.connect(str(path))
            s.settimeout(30)
            return s
        check(not any(c["frontend-open"] for c in q.command("query-chardev") if c["label"] == "c"), "open before the guest opened it")
        port = "/dev/" + g.run("basename $(dirname $(grep -l org.test.agent /sys/class/virtio-ports/*/name))").strip()
        g.run(f"exec 3<>{port}")
        opened(True)
        check(g.run("cat <&3; echo nobody") == "nobody\n", "somebody is there")
        g.run("(echo from-the-guest >&3; echo > /tmp/written) & true")    # Linux waits for somebody to be there
        check("waits" in g.run("sleep 1; [ -e /tmp/written ] || echo waits"), "it was written to nobody")
        for n in range(3):
            s = client()
            if n == 0:
                check(s.recv(100) == b"from-the-guest\n", "what waited for a client")
                g.until("[ -e /tmp/written ]")
            s.sendall(b"from-the-host\n")
            g.run("rm -f /tmp/read; (cat <&3 > /tmp/read; echo end >> /tmp/read) & true")
            g.until("grep -q from-the-host /tmp/read")
            check("end" not in g.run("sleep 1; cat /tmp/read"), f"client {n} is still there")
            s.close()
            g.until("grep -q end /tmp/read")
        q.command("stop")    # a client that comes and one that has gone while the machine stands
        s = client()
        q.command("cont")
        g.run("echo again >&3")
        check(s.recv(100) == b"again\n", "a client that came meanwhile")
        q.command("stop")
        s.close()
        q.command("cont")
        check(g.run("cat <&3; echo nobody") == "nobody\n", "it went meanwhile")
        g.run("exec 3>&-")
        opened(False)
        g.run(f"i=0; while [ $i -lt 2000 ]; do : 3<>{port}; i=$((i+1)); done")
        time.sleep(1.5)
        q.command("query-status")
        changes = [e["data"]["open"] for e in q.events if e["event"] == "VSERPORT_CHANGE"]
        check(0 < len(changes) < 60 and not changes[-1], f"{len(changes)} events of 4000 changes: {changes[-3:]}")
        q.events.clear()
        g.run(f"exec 3<>{port}")
        opened(True)
        q.command("system_reset")
        opened(False)


def test_port_moves(t):
    """A port that is open stays open in another process; the guest hears that its client did not come along."""
    path, state = t.dir / "moving", t.dir / "moving.state"
    what = ("-device", "virtio-serial-pci,id=vs", "-chardev", f"socket,id=c,path={path},server=on,wait=off", "-device", "virtserialport,bus=vs.0,chardev=c,id=agent,name=org.test.agent")
    with Guest(t, *what) as g:
        g.up()
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(path))
        g.run("exec 3<>/dev/vport0p1; (cat <&3 > /tmp/read; echo end >> /tmp/read) & true")
        check("end" not in g.run("sleep 1; cat /tmp/read"), "the client is there")
        g.qmp.command("migrate", uri=f"file:{state}")
        wait_until("the state", lambda: g.qmp.command("query-migrate")["status"] == "completed", 60)
        s.close()
    with Guest(t, *what, "-incoming", "defer") as g:
        g.qmp.command("migrate-incoming", uri=f"file:{state}")
        check(g.qmp.event("VSERPORT_CHANGE")["data"] == {"id": "agent", "open": True}, "it is open")
        wait_until("the machine to run", lambda: g.qmp.command("query-status")["running"], 60)
        check([c["frontend-open"] for c in g.qmp.command("query-chardev") if c["label"] == "c"] == [True], "query-chardev")
        g.until("grep -q end /tmp/read")
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(path))
        s.settimeout(30)
        g.run("echo moved >&3")
        check(s.recv(100) == b"moved\n", "nothing went")
        end(g)


def test_rx_filter(t):
    """What the guest makes of its card's filter is there to ask for; a change is told once until then."""
    mac = "52:54:00:aa:bb:01"
    with Guest(t, "-netdev", "user,id=n", "-device", f"virtio-net-pci,netdev=n,id=card,mac={mac}", "-netdev", "user,id=m", "-device", "e1000,netdev=m,id=old") as g:
        g.up()
        q = g.qmp

        def changed(command):
            g.run(command)
            data = q.event("NIC_RX_FILTER_CHANGED")["data"]
            check(data == {"name": "card", "path": "/machine/peripheral/card/virtio-backend"}, data)
            f, = q.command("query-rx-filter")
            check(q.command("query-rx-filter", name="card") == [f], "of all, and by name")
            return f
        card = g.run(f"basename $(dirname $(grep -l {mac} /sys/class/net/*/address))").strip()
        f = changed(f"ip link set {card} up")
        check(f["name"] == "card" and f["main-mac"] == mac and f["broadcast-allowed"] and not f["promiscuous"] and f["unicast"] == "normal" and f["multicast"] == "normal"
              and f["vlan"] == "none" and f["vlan-table"] == [] and f["unicast-table"] == [] and not f["multicast-overflow"] and not f["unicast-overflow"], f)
        check(changed(f"ip link set {card} promisc on")["promiscuous"], "promiscuous")
        check(changed(f"ifconfig {card} allmulti")["multicast"] == "all", "all groups")
        check(not changed(f"ip link set {card} promisc off")["promiscuous"], "promiscuous")
        check(changed(f"ip link set {card} address 52:54:00:aa:bb:77")["main-mac"] == "52:54:00:aa:bb:77", "another address")
        q.events.clear()
        g.run(f"for i in 1 2 3 4 5 6 7 8 9; do ip link set {card} promisc on; ip link set {card} promisc off; done")
        q.command("query-status")
        told = [e for e in q.events if e["event"] == "NIC_RX_FILTER_CHANGED"]
        check(len(told) == 1, f"told {len(told)} times")
        check(q.error("query-rx-filter", name="old")["desc"].startswith("net client(old) doesn't support rx-filter querying"), "another model")
        check(q.error("query-rx-filter", name="nobody")["desc"] == "invalid net client name: nobody", "no such card")
        end(g)


def test_cold_cards_go(t):
    """Cards of the command line can go too, several at once, and come back."""
    image, data = t.image("disk.img")
    with Guest(t, "-drive", f"file={image},format=raw,if=none,id=d", "-device", "virtio-blk-pci,drive=d,id=disk", "-nic", "none",
               "-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,id=card", "-device", "virtio-rng-pci,id=rng") as g:
        g.up()
        q = g.qmp
        for name in ("disk", "card", "rng"):
            q.command("device_del", id=name)
        gone = {q.event("DEVICE_DELETED")["data"]["device"] for _ in range(3)}
        check(gone == {"disk", "card", "rng"}, gone)
        g.until("[ ! -b /dev/vda ] && [ ! -d /sys/class/net/eth0 ]")
        check("no drive 'd'" in q.error("device_add", driver="virtio-blk-pci", drive="d")["desc"], "a -drive goes with its device")
        q.hmp(f"drive_add 0 if=none,id=again,file={image},format=raw")
        check(q.hmp("device_add virtio-blk-pci,drive=again,id=disk") == "" and q.hmp("device_add virtio-net-pci,netdev=n,id=card") == "", "again")
        g.until("[ -b /dev/vda ] && [ -d /sys/class/net/eth0 ]")
        check(hashlib.sha256(data).hexdigest() in g.run("sha256sum /dev/vda"), "another disk")


def test_plug_while_paused(t):
    """What is plugged in while the machine stands is there when it goes on; what is asked while it stands goes then."""
    image, data = t.image("disk.img")
    with Guest(t) as g:
        g.up()
        q = g.qmp
        q.command("stop")
        q.command("blockdev-add", driver="raw", node_name="x", file={"driver": "file", "filename": str(image)})
        q.command("device_add", driver="virtio-blk-pci", drive="x", id="x")
        q.command("cont")
        g.until("[ -b /dev/vda ]")
        check(hashlib.sha256(data).hexdigest() in g.run("sha256sum /dev/vda"), "another disk")
        q.command("stop")
        q.command("device_del", id="x")
        check("in the process" in q.error("device_del", id="x")["desc"], "asked twice")
        time.sleep(0.5)
        check(any(d["qdev_id"] == "x" for d in q.command("query-pci")[0]["devices"]), "it went while the guest stood")
        q.command("cont")
        q.event("DEVICE_DELETED")


def test_reset_takes_what_was_asked(t):
    """A guest that does not listen: at a reset the card goes."""
    with Guest(t, "-S", "-device", "virtio-rng-pci,id=r") as g:
        q = g.qmp
        q.command("device_del", id="r")
        q.command("system_reset")
        check(q.event("DEVICE_DELETED")["data"]["device"] == "r", "DEVICE_DELETED")
        check(all(d["qdev_id"] != "r" for d in q.command("query-pci")[0]["devices"]), "it is still there")


def test_errors(t):
    image, _ = t.image("disk.img", 1)
    with Guest(t, "-S", "-netdev", "user,id=n", "-device", "e1000,netdev=n,id=card") as g:
        q = g.qmp

        def bad(text, name, **arguments):
            error = q.error(name, **arguments)
            check(text in error["desc"], f"{name} {arguments}: {error}")
            return error
        bad("no device 'nonesuch'", "device_add", driver="nonesuch")
        bad("no property 'colour'", "device_add", driver="e1000", colour="red")
        bad("already a device 'card'", "device_add", driver="e1000", id="card")
        bad("is taken", "device_add", driver="e1000", addr="1.1")
        bad("function 0", "device_add", driver="e1000", addr="9.1")
        bad("no PCI bus", "device_add", driver="virtio-rng-pci", bus="pci.7")
        bad("two cards use", "device_add", driver="e1000", netdev="n")
        bad("no network back end", "device_add", driver="virtio-net-pci", netdev="m")
        bad("no drive 'x'", "device_add", driver="virtio-blk-pci", drive="x")
        bad("does not support hotplugging", "device_add", driver="ide-hd", drive="x")
        check(bad("not found", "device_del", id="nobody")["class"] == "DeviceNotFound", "class")
        check(bad("no network back end", "netdev_del", id="m")["class"] == "DeviceNotFound", "class")
        bad("two network back ends", "netdev_add", type="user", id="n")
        bad("/nonexistent", "blockdev-add", driver="file", node_name="f", filename="/nonexistent")
        bad("no file node 'f'", "blockdev-add", driver="raw", node_name="g", file="f")
        q.command("blockdev-add", driver="file", node_name="f", filename=str(image))
        q.command("blockdev-add", driver="raw", node_name="g", file="f")
        bad("two block nodes", "blockdev-add", driver="raw", node_name="g", file="f")
        bad("below 'g'", "blockdev-del", node_name="f")
        bad("Failed to find node", "blockdev-del", node_name="h")
        check({n["node-name"] for n in q.command("query-named-block-nodes")} == {"f", "g"}, "nodes")
        bad("not built", "object-add", qom_type="can-bus", id="c")
        bad("can't be added", "object-add", qom_type="memory-backend-ram", id="m", size=4096)
        q.command("object-add", qom_type="secret", id="s", data="x")
        q.command("object-add", qom_type="rng-random", id="r", filename="/dev/urandom")
        bad("already an object 's'", "object-add", qom_type="rng-builtin", id="s")
        q.command("device_add", driver="virtio-rng-pci", rng="r", id="rng")
        bad("is used by", "object-del", id="r")
        check({p["name"] for p in q.command("qom-list", path="/objects")} >= {"r", "s"}, "objects")
        q.command("object-del", id="s")
        bad("no object 's'", "object-del", id="s")
        pty = q.command("chardev-add", id="p", backend={"type": "pty", "data": {}})["pty"]
        check(os.path.exists(pty), pty)
        q.command("chardev-add", id="u", backend={"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": str(t.dir / "u")}}, "server": True, "wait": False}})
        bad("already a character device", "chardev-add", id="u", backend={"type": "null", "data": {}})
        check((t.dir / "u").exists() and {"p", "u"} <= {c["label"] for c in q.command("query-chardev")}, "chardevs")
        q.command("chardev-remove", id="u")
        q.command("chardev-remove", id="p")
        bad("no character device", "chardev-remove", id="p")
        for line in ("device_add", "device_add nonesuch", "device_del nobody", "netdev_add nonesuch", "object_add nonesuch,id=x", "drive_add 0 if=ide,file=x",
                     "drive_del nobody", "chardev-add nonesuch,id=x", "netdev_del nobody"):
            check(q.hmp(line).strip(), f"{line}: no error")


def test_full_many_clients(t):
    """Four clients plug and unplug back ends, nodes and cards at the same time, while the guest runs."""
    import threading
    with Guest(t, "-smp", "2", monitors=5) as g:
        g.up()
        failures = []

        def work(k):
            try:
                q = g.client(k)
                for n in range(25):
                    q.command("netdev_add", type="user", id=f"n{k}")
                    q.command("device_add", driver="virtio-net-pci", id=f"c{k}", netdev=f"n{k}")
                    q.hmp("info network")
                    q.command("device_del", id=f"c{k}")
                    while q.event("DEVICE_DELETED")["data"]["device"] != f"c{k}":
                        pass
                    q.command("netdev_del", id=f"n{k}")
                    q.events.clear()
            except Exception as e:  # noqa: BLE001
                failures.append(f"client {k}, round {n}: {e!r}")
        threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
        for th in threads:
            th.start()
        for th in threads:
            while th.is_alive():
                g.read(0.2)
        check(not failures, failures)
        check("eth" not in g.run("ls /sys/class/net"), "a card is left")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: tests/plug/run.py DOPPEL [NAME...]")
    sys.exit(run_tests("plug", globals(), Tester(sys.argv[1]), sys.argv[2:]))
