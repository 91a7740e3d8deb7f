#!/usr/bin/env python3
"""Guests on the network: tests/network/run.py build/release/doppel [NAME...]; last line: N passed, N failed.

Each test is a function test_*(t); DOPPEL_TEST_FULL=1 adds the slow ones (names test_full_*)."""
import gzip
import hashlib
import http.server
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness import GUESTS, Emulator, Failure, check, run_tests, wait_until  # noqa: E402

CARDS = ("e1000", "rtl8139", "ne2k_pci", "pcnet", "virtio-net-pci")


class Tester:
    def __init__(self, program):
        self.program = str(pathlib.Path(program).resolve())
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="doppel-network."))

    def run(self, *args, timeout=240):
        """Exit status, and what the emulator and its serial port said."""
        command = [self.program, "qemu-system-x86_64", "-m", "256", "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", *map(str, args)]
        try:
            p = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
        except subprocess.TimeoutExpired as e:
            raise Failure(f"still running after {timeout} s:\n" + (e.stdout or b"").decode(errors="replace")[-2000:]) from None
        return p.returncode, p.stdout.decode(errors="replace").replace("\r", "")


def linux(*words, guest="amd64-net"):
    return ["-kernel", GUESTS / guest / "vmlinuz", "-initrd", GUESTS / guest / "initrd.gz", "-append", " ".join(["console=ttyS0 quiet guest_quiet", *words])]


def script(text):
    """A command for the guest's init, which takes + for blanks."""
    return "guest_run=" + text.replace(" ", "+")


LEASE = "ip link set eth0 up; udhcpc -i eth0 -n -q -t 8 -T 2 -s /bin/lease >/dev/null 2>&1; "


# --- PXE

def boot_file(t):
    obj = t.dir / "boot_file.o"
    subprocess.run(["as", "--32", "-o", obj, HERE / "boot_file.s"], check=True)
    tftp = t.dir / "tftp"
    tftp.mkdir(exist_ok=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", obj, tftp / "boot.0"], check=True)
    return tftp


def test_pxe(t):
    """The boot ROM of every card fetches a file by DHCP and TFTP, and runs it."""
    tftp = boot_file(t)
    for card in CARDS:
        status, text = t.run("-device", "isa-debug-exit", "-boot", "n", "-nic", f"user,model={card},tftp={tftp},bootfile=boot.0", timeout=120)
        check(status == 43 and "PXE-FILE-RUNS" in text, f"{card}: status {status}: {text[-500:]}")


def pxelinux(t, kernel, initrd, append):
    """A TFTP folder from which PXELINUX boots a kernel with the serial port as its console."""
    tftp = t.dir / "pxelinux"
    shutil.rmtree(tftp, ignore_errors=True)
    (tftp / "pxelinux.cfg").mkdir(parents=True)
    for file in ("/usr/lib/PXELINUX/pxelinux.0", "/usr/lib/syslinux/modules/bios/ldlinux.c32"):
        shutil.copy(file, tftp)
    os.symlink(kernel, tftp / "vmlinuz")
    os.symlink(initrd, tftp / "initrd.gz")
    (tftp / "pxelinux.cfg/default").write_text(f"default linux\nlabel linux\n  kernel vmlinuz\n  append initrd=initrd.gz {append}\n")
    return tftp


def test_pxelinux(t):
    """PXELINUX fetches a Linux kernel and its initramfs by TFTP and boots them."""
    tftp = pxelinux(t, GUESTS / "amd64-net/vmlinuz", GUESTS / "amd64-net/initrd.gz", "console=ttyS0 quiet guest_quiet " + script("echo LINUX-BY-PXE"))
    status, text = t.run("-boot", "n", "-nic", f"user,model=e1000,tftp={tftp},bootfile=pxelinux.0")
    check(status == 0 and "LINUX-BY-PXE" in text, f"status {status}: {text[-1500:]}")


# --- the other end

class Peer:
    """HTTP on the host's loopback: files by name, and what is asked for is noted."""

    def __init__(self, files):
        self.files, self.asked, peer = files, [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def reply(self, with_body):
                peer.asked.append(self.path)
                data = peer.files.get(self.path.lstrip("/"))
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                if data and with_body:
                    self.wfile.write(data)

            def do_GET(self):
                self.reply(True)

            def do_HEAD(self):
                self.reply(False)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def run_script(self, text):
        """For the guest's init: fetch these lines of shell and run them."""
        self.files["script"] = text.encode()
        return script(f"{LEASE}wget -q -O /tmp/script http://10.0.2.2:{self.port}/script; sh /tmp/script")


class Counter(threading.Thread):
    """Takes TCP connections and answers each with its number; `together` of them are held until all are there."""

    def __init__(self, together=1):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port, self.together, self.answered = self.socket.getsockname()[1], together, 0
        self.start()

    def run(self):
        while True:
            held = [self.socket.accept()[0] for _ in range(self.together)]
            for c in held:
                self.answered += 1
                c.sendall(f"{self.answered}\n".encode())
                c.close()


# --- the sandbox

DENY = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(type=kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_user_network(t):
    """What the user network has besides TCP: echoes, IPv6, TFTP, a program behind an address, a port of the host's; restrict=on leaves DHCP and the forwards."""
    tftp = t.dir / "tftp-files"
    tftp.mkdir(exist_ok=True)
    (tftp / "hello").write_text("BY-TFTP\n")
    peer, port = Peer({"data": b"BY-HTTP\n"}), free_port()
    words = (f"ping -c 2 -W 5 10.0.2.2 | sed 's/^/ECHO /'; tftp -g -r hello -l /tmp/hello 10.0.2.2; cat /tmp/hello; nc -w 5 10.0.2.100 99 < /dev/null; "
             f"timeout 8 wget -q -O - http://10.0.2.2:{peer.port}/data; i=0; while ! ping6 -c 1 -W 2 fec0::2 > /dev/null 2>&1 && [ $i -lt 10 ]; do i=$((i+1)); sleep 1; done; "
             "ping6 -c 2 -W 5 fec0::2 | sed 's/^/ECHO6 /'; echo LISTENS; (echo FROM-THE-GUEST; sleep 1) | nc -l -p 80; echo DONE")
    (tftp / "script").write_text(words)
    for restrict in ("off", "on"):
        p = subprocess.Popen([t.program, "qemu-system-x86_64", "-m", "256", "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
                              "-nic", f"user,model=virtio-net-pci,restrict={restrict},tftp={tftp},guestfwd=tcp:10.0.2.100:99-cmd:echo FORWARDED,hostfwd=tcp:127.0.0.1:{port}-:80",
                              *map(str, linux(script(LEASE + "tftp -g -r script -l /tmp/script 10.0.2.2; sh /tmp/script")))], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            text = b""
            while b"LISTENS\r" not in text:
                part = os.read(p.stdout.fileno(), 65536)
                check(part, text[-1500:].decode(errors="replace"))
                text += part

            def greeting():
                try:
                    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
                        return s.recv(100)
                except OSError:
                    return b""
            check(wait_until("the guest's port", greeting, 30, 0.5) == b"FROM-THE-GUEST\n", "another greeting")
            text += p.communicate(timeout=60)[0]
        finally:
            p.kill()
        text = text.decode(errors="replace")
        for need in ("FORWARDED", "ECHO 2 packets transmitted, 2 packets received", "BY-TFTP", "ECHO6 2 packets transmitted, 2 packets received"):
            check(need in text, f"restrict={restrict}: no {need!r}: {text[-2500:]}")
        check(("BY-HTTP" in text) == (restrict == "off"), f"restrict={restrict}: the host's server was {'not ' * (restrict == 'off')}reached: {text[-1500:]}")


def test_two_machines(t):
    """Two guests with three cables between them: a stream on a unix socket, datagrams, a TCP socket with a hub; what passes is dumped; a link goes down and up."""
    udp, tcp, dump = (free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)), free_port(), t.dir / "cable.pcap"
    ends = [(f"stream,server=on,addr.type=unix,addr.path={t.dir}/cable", f"dgram,local.type=inet,local.host=127.0.0.1,local.port={udp[0]},remote.type=inet,remote.host=127.0.0.1,remote.port={udp[1]}", f"socket,listen=127.0.0.1:{tcp}"),
            (f"stream,server=off,addr.type=unix,addr.path={t.dir}/cable", f"dgram,local.type=inet,local.host=127.0.0.1,local.port={udp[1]},remote.type=inet,remote.host=127.0.0.1,remote.port={udp[0]}", f"socket,connect=127.0.0.1:{tcp}")]
    up = "for n in 0 1 2; do ip link set eth$n up; ip addr add 10.1.$n.{me}/24 dev eth$n; done; "
    jobs = ["for n in 0 1 2; do nc -l -p 77 | sha256sum | sed s/^/GOT-$n-/; done; sleep 600",
            "dd if=/dev/urandom of=/tmp/x bs=1k count=700 2>/dev/null; sha256sum /tmp/x | sed 's/^/SENT-/'; for n in 0 1 2; do while ! ping -c 1 -W 2 10.1.$n.1 > /dev/null; do :; done; sleep 1; "
            "nc -w 9 10.1.$n.1 77 < /tmp/x; done; echo ALL-SENT; while :; do ping -c 1 -W 1 10.1.1.1 > /dev/null && echo YES || echo NO; sleep 1; done"]
    machines = []
    try:
        for me, end in enumerate(ends):
            args = ["-m", "192", "-nodefaults", "-no-reboot", "-netdev", "hubport,hubid=1,id=h0,netdev=n2", "-netdev", "hubport,hubid=1,id=h1"]
            args = [w for n, e in enumerate(end) for w in ("-netdev", f"{e},id=n{n}")] + args
            args += [w for n in range(3) for w in ("-device", f"e1000,netdev={'h1' if n == 2 else f'n{n}'},id=c{n},mac=52:54:00:01:0{me}:0{n},addr=0x{n + 5}")]
            args += ["-object", f"filter-dump,id=d,netdev=n0,file={dump}"] if me == 0 else []
            machines.append(Emulator(t.program, *args, *linux(script(up.format(me=me + 1) + jobs[me]))))
        a, b = machines
        b.wait_for_serial("ALL-SENT", 180)
        sent = re.search(rb"SENT-(\w{64})", b.serial())[1]
        wait_until("what was sent", lambda: a.serial().count(sent) == 3, 60)
        head = dump.read_bytes()[:24]
        check(head[:4] == b"\xd4\xc3\xb2\xa1" and dump.stat().st_size > 700 << 10, f"the dump: {head!r}, {dump.stat().st_size} bytes")
        for way, word in (("off", b"NO"), ("on", b"YES")):
            check(b.command(f"set_link c1 {way}") == "", "set_link")
            seen = len(b.serial())
            wait_until(f"{word} after set_link {way}", lambda: b.serial()[seen:].count(word) >= 3, 60)
    finally:
        for m in machines:
            m.close()


def test_sandbox_guest(t):
    """A guest boots, gets an address, fetches a file and powers off with everything denied."""
    peer = Peer({"data": os.urandom(3 << 20)})
    status, text = t.run("-sandbox", DENY + ",files=deny", "-nic", "user,model=virtio-net-pci", "-smp", "2",
                         *linux(peer.run_script(f"wget -q -O - http://10.0.2.2:{peer.port}/data | sha256sum")))
    check(status == 0 and hashlib.sha256(peer.files["data"]).hexdigest() in text, f"status {status}: {text[-1500:]}")


def test_sandbox_spawn(t):
    """What the guest makes the emulator start is not started with spawn=deny."""
    for way in ("allow", "deny"):
        mark = t.dir / f"started-{way}"
        status, text = t.run("-sandbox", f"on,spawn={way}", "-nic", f"user,guestfwd=tcp:10.0.2.100:99-cmd:touch {mark}",
                             *linux(script(LEASE + "nc -w 3 10.0.2.100 99 < /dev/null; sleep 2; echo TRIED")))
        check(status == 0 and "TRIED" in text, f"status {status}: {text[-1500:]}")
        check(mark.exists() == (way == "allow"), f"spawn={way}: the program was {'' if mark.exists() else 'not '}started")


def test_sandbox_files(t):
    """files=deny: writing in a named folder works, elsewhere not; a new CD may lie anywhere. The filter is on in every thread."""
    outside, temporary = t.dir / "outside", t.dir / "temporary"
    for folder in (outside, temporary):
        folder.mkdir(exist_ok=True)
    (outside / "cd.iso").write_bytes(bytes(1 << 20))
    with Emulator(t.program, "-sandbox", DENY + ",files=deny", "-nic", "user", cwd=temporary, env=dict(os.environ, TMPDIR=str(temporary))) as m:
        said = m.command(f"screendump {outside}/screen.ppm")
        check("ermission denied" in said and not (outside / "screen.ppm").exists(), f"writing outside: {said!r}")
        m.screen()
        said = m.command(f"change ide1-cd0 {outside}/cd.iso")
        check(said == "" and str(outside) in m.command("info block"), f"a new CD: {said!r}")
        for task in pathlib.Path(f"/proc/{m.process.pid}/task").iterdir():
            state = (task / "status").read_text()
            check(re.search(r"Seccomp:\s*2", state) and re.search(r"NoNewPrivs:\s*1", state), f"thread {task.name} is not confined")
        m.command("quit")


def test_sandbox_words(t):
    """Wrong words are refused; `doppel run --throwaway` is in the sandbox unless told otherwise."""
    for words in ("on,spawn=maybe", "on,pets=deny", "perhaps"):
        p = subprocess.run([t.program, "qemu-system-x86_64", "-sandbox", words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        check(p.returncode == 1 and "sandbox" in p.stderr, f"{words}: {p.returncode} {p.stderr}")
    disk = t.dir / "disk.img"
    disk.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))
    for words, inside in (([], False), (["--throwaway"], True), (["--throwaway", "--sandbox=off"], False), (["--sandbox"], True)):
        p = subprocess.run([t.program, "explain", str(disk), *words], capture_output=True, text=True)
        check(("-sandbox on" in p.stdout) == inside, f"{words}: {p.stdout} {p.stderr}")


# --- folders of the host

SHARE = """mkdir -p /mnt; mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 {tag} /mnt && echo MOUNTED
sha256sum < /mnt/data | sed 's/^/READ /'
dd if=/dev/urandom of=/tmp/made bs=64k count=40 2>/dev/null; cp /tmp/made /mnt/made; sha256sum < /tmp/made | sed 's/^/MADE /'
sha256sum < /mnt/made | sed 's/^/BACK /'
ls /mnt/many | wc -l | sed 's/^/LISTED /'
mkdir /mnt/tree; echo one > /mnt/tree/a; mv /mnt/tree/a /mnt/tree/b; ln -s b /mnt/tree/link; cat /mnt/tree/link | sed 's/^/LINK /'
chmod 640 /mnt/tree/b; stat -c %a /mnt/tree/b | sed 's/^/MODE /'
truncate -s 1000000 /mnt/tree/b; stat -c %s /mnt/tree/b | sed 's/^/SIZE /'
cat /mnt/way-out/secret 2>&1 | sed 's/^/OUT /'
rm /mnt/tree/b && rm /mnt/tree/link && rmdir /mnt/tree && echo REMOVED
umount /mnt && echo UNMOUNTED
"""


def shared_tree(t, name):
    top = t.dir / name
    (top / "shared/many").mkdir(parents=True)
    (top / "secret").write_text("SECRET-OF-THE-HOST")
    (top / "shared/way-out").symlink_to(top)
    (top / "shared/data").write_bytes(os.urandom(5 << 20))
    for i in range(500):
        (top / f"shared/many/f{i}").write_text(str(i))
    (top / "shared/script").write_text(SHARE.format(tag="/tag"))
    return top / "shared"


def first_line(tag):
    """Mounts the folder to fetch the script in it."""
    return script(f"mkdir -p /s; mount -t 9p -o trans=virtio,version=9p2000.L {tag} /s; sed s,/tag,{tag},g /s/script > /tmp/s; umount /s; sh /tmp/s")


def test_share(t):
    """A Linux guest mounts a folder: files both ways by their hashes, a listing, names, modes; nothing outside is reached."""
    for model in ("none", "mapped-xattr", "mapped-file"):
        folder = shared_tree(t, model)
        status, text = t.run("-nic", "none", "-virtfs", f"local,path={folder},mount_tag=tag0,security_model={model}", *linux(first_line("tag0"), guest="amd64-share"))
        check(status == 0, f"status {status}: {text[-1500:]}")
        made = re.search(r"MADE (\w+)", text)
        need = ["MOUNTED", "READ " + hashlib.sha256((folder / "data").read_bytes()).hexdigest(), "LISTED 500", "LINK one", "MODE 640", "SIZE 1000000", "REMOVED", "UNMOUNTED"]
        check(made and f"BACK {made[1]}" in text and all(n in text for n in need), f"{model}: {text[-2500:]}")
        check(hashlib.sha256((folder / "made").read_bytes()).hexdigest() == made[1], "the file that the guest wrote differs on the host")
        check("SECRET-OF-THE-HOST" not in text and not (folder / "tree").exists(), text[-1500:])


def test_share_read_only(t):
    folder = shared_tree(t, "read-only")
    before = sorted(str(p) for p in folder.rglob("*"))
    status, text = t.run("-nic", "none", "-fsdev", f"local,id=f,path={folder},security_model=none,readonly=on", "-device", "virtio-9p-pci,fsdev=f,mount_tag=tag1",
                         *linux(first_line("tag1"), guest="amd64-share"))
    check(status == 0 and "READ " + hashlib.sha256((folder / "data").read_bytes()).hexdigest() in text and "Read-only file system" in text, text[-1500:])
    check(sorted(str(p) for p in folder.rglob("*")) == before, "the folder changed")


def test_share_run(t):
    """`doppel run --share` says how the folder is mounted; the sandbox lets it write there."""
    folder = shared_tree(t, "run")
    p = subprocess.run([t.program, "run", str(GUESTS / "amd64-share/vmlinuz"), "--share", str(folder), "--sandbox", "-nographic", "-no-reboot", "-m", "256",
                        "-initrd", str(GUESTS / "amd64-share/initrd.gz"), "-append", "console=ttyS0 quiet guest_quiet " + first_line("share0")],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240)
    check("mount -t 9p -o trans=virtio,version=9p2000.L share0 /mnt" in p.stderr, p.stderr)
    made = re.search(r"MADE (\w+)", p.stdout)
    check(p.returncode == 0 and made and hashlib.sha256((folder / "made").read_bytes()).hexdigest() == made[1], p.stdout[-2500:] + p.stderr)


# --- a running machine's screen

def test_screen(t):
    """doppel type, screen and shot, on a guest's shell on its own screen."""
    env = dict(os.environ, XDG_RUNTIME_DIR=str(t.dir))
    kernel = t.dir / "typed-kernel"
    shutil.copy(GUESTS / "amd64-pc/vmlinuz", kernel)

    def doppel(*words):
        p = subprocess.run([t.program, *map(str, words)], capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL)
        return p.returncode, p.stdout + p.stderr
    status, said = doppel("screen", "nothing")
    check(status == 1 and "no machine" in said, f"{status}: {said}")
    p = subprocess.Popen([t.program, "run", str(kernel), "-initrd", str(GUESTS / "amd64-pc/initrd.gz"), "-append", "console=tty0 nomodeset quiet guest_quiet guest_end=shell",
                          "-m", "256", "-display", "none", "-serial", "none", "-monitor", "none", "-no-reboot"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_until("the shell", lambda: "/ #" in doppel("screen", "--text", kernel)[1], 120, 0.5)
        status, said = doppel("type", kernel, "echo 'Two Words' $((6*7))\\n")
        check(status == 0, said)
        wait_until("the answer", lambda: "Two Words 42" in doppel("screen", kernel)[1], 60, 0.5)
        status, said = doppel("shot", kernel, t.dir / "screen shot.png")
        check(status == 0 and (t.dir / "screen shot.png").read_bytes()[:4] == b"\x89PNG", f"{status}: {said}")
        status, said = doppel("shot", kernel, t.dir / "no/folder.png")
        check(status == 1, f"{status}: {said}")
        doppel("type", kernel, "poweroff -f\\n")
        check(p.wait(60) == 0, "it did not power off")
    finally:
        p.kill()


# --- acceptance, the slow part

MIB = int(os.environ.get("DOPPEL_NET_MIB", 200))
SECONDS = int(os.environ.get("DOPPEL_NET_SECONDS", 1800))


def test_full_http(t):
    """A large file by HTTP through each card."""
    peer = Peer({"data": os.urandom(MIB << 20)})
    want = hashlib.sha256(peer.files["data"]).hexdigest()
    for card in CARDS:
        status, text = t.run("-nic", f"user,model={card}", *linux(peer.run_script(f"wget -q -O - http://10.0.2.2:{peer.port}/data | sha256sum")), timeout=1200)
        check(status == 0 and want in text, f"{card}: status {status}: {text[-1500:]}")


def test_full_connections(t):
    """10,000 connections one after the other, and 500 at once; none is lost."""
    one, many, peer = Counter(), Counter(500), Peer({})
    status, text = t.run("-nic", "user,model=virtio-net-pci", *linux(peer.run_script(f"""
for i in $(seq 10000); do nc 10.0.2.2 {one.port} < /dev/null; done | sort -n | uniq | wc -l | sed 's/^/IN-A-ROW /'
for i in $(seq 500); do nc 10.0.2.2 {many.port} < /dev/null > /tmp/o$i & done; wait
cat /tmp/o* | sort -n | uniq | wc -l | sed 's/^/AT-ONCE /'
""")), timeout=1800)
    check(status == 0 and "IN-A-ROW 10000" in text and "AT-ONCE 500" in text, f"status {status}: {text[-1500:]}")
    check((one.answered, many.answered) == (10000, 500), f"the host answered {one.answered} and {many.answered}")


def test_full_memory(t):
    """Mixed traffic for half an hour (DOPPEL_NET_SECONDS: shorter), with rests in which the connections that were closed end; what the emulator needs then
    stays what it was. While traffic flows it depends on the speed, which is the host's: a closed connection is kept for ten seconds. The guest's RAM is a
    file: what the guest touches of it is not counted, all that the emulator needs for itself is anonymous memory. The cache of translations, which fills
    slowly, is small enough to be full in the first minutes."""
    ram = pathlib.Path("/dev/shm" if os.path.isdir("/dev/shm") else t.dir) / f"doppel-network-{os.getpid()}"
    peer, counter = Peer({"data": os.urandom(4 << 20)}), Counter()
    want = hashlib.sha256(peer.files["data"]).hexdigest()
    rests, rest = 8, 18
    busy = SECONDS // rests
    with Emulator(t.program, "-m", "256", "-accel", "tcg,tb-size=24", "-object", f"memory-backend-file,id=ram,size=256M,share=on,mem-path={ram}", "-machine", "memory-backend=ram",
                  "-nic", "user,model=virtio-net-pci", "-no-reboot", *linux("guest_end=halt", peer.run_script(f"""
now() {{ cut -d. -f1 /proc/uptime; }}
while :; do
  end=$(( $(now) + {busy} ))
  while [ $(now) -lt $end ]; do
    [ $(wget -q -O - http://10.0.2.2:{peer.port}/data | sha256sum | cut -c1-64) = {want} ] || echo DAMAGED
    for i in 1 2 3 4 5 6 7 8 9; do nc 10.0.2.2 {counter.port} < /dev/null; done
    ping -c 1 -W 5 10.0.2.2 > /dev/null || echo NO-ECHO
    nslookup localhost 10.0.2.3 > /dev/null 2>&1
    nc -w 1 10.0.2.2 1 < /dev/null
    echo ROUND
  done
  echo REST
  sleep {rest}
done"""))) as m:
        ram.unlink()

        def resident():
            return round(int(re.search(r"RssAnon:\s*(\d+)", pathlib.Path(f"/proc/{m.process.pid}/status").read_text())[1]) / 1024, 1)
        busiest, at_rest = 0, []
        for n in range(1, rests + 1):
            end = time.time() + 2 * busy + 120
            while m.serial().count(b"REST") < n:
                check(m.process.poll() is None and time.time() < end, f"the emulator ended, or rest {n} does not come: {m.serial()[-500:]}")
                time.sleep(0.5)
                busiest = max(busiest, resident())
            time.sleep(rest - 2)
            at_rest.append(resident())
        rounds = m.serial().count(b"ROUND")
        check(b"DAMAGED" not in m.serial() and b"NO-ECHO" not in m.serial(), m.serial()[-1500:].decode(errors="replace"))
        check(rounds >= SECONDS / 60, f"{rounds} rounds in {SECONDS} s")
        print(f"      {rounds} rounds in {SECONDS} s; MiB beside the guest's RAM: {busiest} at most, at rest {at_rest}")
        before, end = max(at_rest[:rests // 2]), max(at_rest[rests // 2:])
        check(end <= before * 1.05 + 4, f"MiB beside the guest's RAM grew: {at_rest}")


# A package of the installer's kind: when it is unpacked and configured, it asks for a page of the mirror.
PROBE = """Package: doppel-probe
Version: 1
Architecture: all
Priority: standard
Section: debian-installer
Maintainer: nobody <nobody@localhost>
Description: tells that it was installed
"""


def mirror(t):
    """The files of a small mirror for the installer: one package."""
    tree = t.dir / "probe"
    (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
    (tree / "DEBIAN/control").write_text(PROBE)
    (tree / "DEBIAN/postinst").write_text("#!/bin/sh\necho PROBE-CONFIGURED > /dev/ttyS0\n")
    (tree / "DEBIAN/postinst").chmod(0o755)
    subprocess.run(["dpkg-deb", "-Zxz", "-b", tree, t.dir / "probe.udeb"], check=True, capture_output=True)
    deb = (t.dir / "probe.udeb").read_bytes()
    name = "pool/main/d/doppel-probe/doppel-probe_1_all.udeb"
    packages = (PROBE + f"Filename: {name}\nSize: {len(deb)}\nMD5sum: {hashlib.md5(deb).hexdigest()}\nSHA256: {hashlib.sha256(deb).hexdigest()}\n\n").encode()
    index = "main/debian-installer/binary-amd64/Packages"
    files = {index: packages, index + ".gz": gzip.compress(packages)}
    release = "Origin: Debian\nLabel: Debian\nSuite: stable\nCodename: bookworm\nVersion: 12.0\nArchitectures: all amd64\nComponents: main\nDate: Sat, 10 Jun 2023 00:00:00 UTC\nSHA256:\n"
    release += "".join(f" {hashlib.sha256(d).hexdigest()} {len(d)} {n}\n" for n, d in files.items())
    out = {"debian/" + name: deb}
    for suite in ("bookworm", "stable"):
        out[f"debian/dists/{suite}/Release"] = release.encode()
        out[f"debian/dists/{suite}/main/binary-amd64/Release"] = b"Archive: stable\nOrigin: Debian\nLabel: Debian\nComponent: main\nArchitecture: amd64\n"
        out.update({f"debian/dists/{suite}/{n}": d for n, d in files.items()})
    return out


def test_full_installer(t):
    """Debian's network installer by PXE: an address by DHCP, answers by HTTP, a package of a mirror on the host's loopback."""
    peer = Peer(mirror(t))
    host = f"10.0.2.2:{peer.port}"
    peer.files["preseed.cfg"] = f"""d-i debian-installer/allow_unauthenticated boolean true
d-i mirror/country string manual
d-i mirror/protocol string http
d-i mirror/http/hostname string {host}
d-i mirror/http/directory string /debian
d-i mirror/http/proxy string
d-i mirror/suite string bookworm
d-i mirror/udeb/suite string bookworm
d-i anna/no_kernel_modules boolean true
""".encode()
    folder = GUESTS / "installer-amd64-text"
    tftp = pxelinux(t, folder / "vmlinuz", folder / "initrd.gz",
                    f"auto=true priority=critical locale=en_US keymap=us hostname=guest domain=localdomain url=http://{host}/preseed.cfg console=ttyS0 TERM=dumb DEBIAN_FRONTEND=text")
    with Emulator(t.program, "-m", "1024", "-boot", "n", "-nic", f"user,model=e1000,tftp={tftp},bootfile=pxelinux.0") as m:
        m.wait_for_serial("PROBE-CONFIGURED", 900)
    for path in ("preseed.cfg", "debian/dists/bookworm/Release", "debian/pool/main/d/doppel-probe/doppel-probe_1_all.udeb"):
        check("/" + path in peer.asked, f"/{path} was not asked for: {peer.asked}")


sys.exit(run_tests("network", globals(), Tester(sys.argv[1]), sys.argv[2:]))
