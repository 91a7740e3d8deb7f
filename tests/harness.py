"""What the Python tests share: the runner, a monitor's client, pictures of the guest's screen."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent
GUESTS = pathlib.Path(os.environ.get("DOPPEL_GUESTS", ROOT / "guests"))


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def wait_until(what, condition, timeout=120, step=0.1):
    """Waits for condition() to be true and returns its value. The time-out is generous: machines are loaded."""
    end = time.time() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.time() > end:
            raise Failure(f"waited {timeout} s in vain for {what}")
        time.sleep(step)


class Monitor:
    """A monitor on a unix socket."""

    def __init__(self, path, timeout=60):
        self.s = socket.socket(socket.AF_UNIX)

        def connected():
            try:
                self.s.connect(str(path))
                return True
            except OSError:
                return False
        wait_until(f"the monitor's socket {path}", connected, timeout, 0.05)
        self.s.settimeout(timeout)
        self.read()

    def read(self):
        text = b""
        while not text.endswith(b"(qemu) "):
            part = self.s.recv(65536)
            if not part:
                break
            text += part
        return text.decode(errors="replace").replace("\r", "")

    def command(self, line):
        self.s.sendall(line.encode() + b"\n")
        text = self.read()
        return text[text.find("\n") + 1:].removesuffix("(qemu) ")

    def quit(self):
        self.s.sendall(b"quit\n")


class Screen:
    """A picture of the guest's screen, from a PPM file."""

    def __init__(self, data):
        head = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", data)
        check(head, "not a PPM picture")
        self.data, self.width, self.height = data, int(head[1]), int(head[2])
        self.pixels = data[head.end():]
        check(len(self.pixels) == self.width * self.height * 3, "the picture's size is wrong")

    def colours(self):
        return {self.pixels[i:i + 3] for i in range(0, len(self.pixels), 3)}

    def row(self, y):
        return self.pixels[y * self.width * 3:(y + 1) * self.width * 3]

    def cell(self, column, line, width=8, height=16):
        """The picture of one character of a text console, background and foreground told apart."""
        x, y = column * width, line * height
        rows = [self.row(y + i)[x * 3:(x + width) * 3] for i in range(height)]
        return tuple(tuple(r[i:i + 3] != b"\0\0\0" for i in range(0, len(r), 3)) for r in rows)

    def find_text_line(self, text):
        """The line of an 8 x 16 text console on black that reads `text`, or None. Without knowing the font: the same
        characters look the same, different ones differ, blanks are empty."""
        for line in range(self.height // 16 - 1, -1, -1):
            seen = {}
            if all(seen.setdefault(c, self.cell(i, line)) == self.cell(i, line) for i, c in enumerate(text)):
                empty = [c for c, picture in seen.items() if not any(map(any, picture))]
                if len(set(seen.values())) == len(seen) and empty in ([], [" "]):
                    return line
        return None

    def share(self, colour, left=0, top=0, right=None, bottom=None, tolerance=0):
        """How much of a rectangle has a colour, 0 to 1."""
        right, bottom = right or self.width, bottom or self.height
        hits = 0
        for y in range(top, bottom):
            row = self.row(y)
            for x in range(left, right):
                p = row[x * 3:x * 3 + 3]
                hits += all(abs(a - b) <= tolerance for a, b in zip(p, colour))
        return hits / ((right - left) * (bottom - top))


class Emulator:
    """A running machine with a monitor; serial output goes to a file. Use it with `with`."""

    def __init__(self, program, *args, arch="x86_64", display="none", env=None, cwd=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="doppel-test."))
        self.serial_file = self.dir / "serial"
        self.serial_file.write_bytes(b"")
        command = [str(program), f"qemu-system-{arch}", "-display", display, "-serial", f"file:{self.serial_file}",
                   "-monitor", f"unix:{self.dir}/monitor,server=on,wait=off", *map(str, args)]
        self.output = open(self.dir / "output", "wb")
        self.process = subprocess.Popen(command, stdout=self.output, stderr=subprocess.STDOUT, env=env, cwd=cwd)
        try:
            self.monitor = Monitor(self.dir / "monitor")
        except Failure as e:
            self.close()
            raise Failure(f"{e}: {self.said}") from None

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.output.close()
        self.said = (self.dir / "output").read_text(errors="replace")
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def serial(self):
        return self.serial_file.read_bytes()

    def command(self, line):
        return self.monitor.command(line)

    def screen(self):
        path = self.dir / "screen.ppm"
        answer = self.command(f"screendump {path}")
        check(answer == "", f"screendump: {answer}")
        return Screen(path.read_bytes())

    def keep_screen(self, name):
        """For people to look at: DOPPEL_SCREENSHOTS=folder."""
        if folder := os.environ.get("DOPPEL_SCREENSHOTS"):
            self.command(f"screendump {pathlib.Path(folder).resolve()}/{name}.png")

    def text(self):
        return self.command("info screen")

    def wait_for_text(self, pattern, timeout=240):
        try:
            return wait_until("", lambda: re.search(pattern, self.text()), timeout, 0.3)
        except Failure:
            raise Failure(f"no {pattern!r} on the text screen after {timeout} s:\n{self.text()}") from None

    def wait_for_serial(self, pattern, timeout=240):
        try:
            return wait_until("", lambda: re.search(pattern.encode(), self.serial()), timeout, 0.2)
        except Failure:
            raise Failure(f"no {pattern!r} on the serial port after {timeout} s:\n"
                          + self.serial().decode(errors="replace")[-1500:]) from None

    def wait_paused(self, timeout=900):
        return wait_until("the machine to pause", lambda: re.search(r"paused(?! .prelaunch)", self.command("info status")), timeout, 0.2)

    def exited(self, status=0, timeout=120):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"still running after {timeout} s") from None
        check(code == status, f"exit status {code}, expected {status}")


def run_tests(group, functions, tester, words):
    """Runs the test_* functions that match a word; test_full_* only with DOPPEL_TEST_FULL or by name. The exit status."""
    passed = failed = 0
    for name, fn in list(functions.items()):
        if not name.startswith("test_") or (words and not any(w in name for w in words)):
            continue
        if name.startswith("test_full_") and not os.environ.get("DOPPEL_TEST_FULL") and not words:
            continue
        begin = time.time()
        try:
            fn(tester)
            passed += 1
            print(f"ok    {group}/{name[5:]} ({time.time() - begin:.1f} s)", flush=True)
        except Exception as e:  # a broken test is a failed test
            failed += 1
            text = str(e) if isinstance(e, Failure) else traceback.format_exc()
            print(f"FAIL  {group}/{name[5:]} ({time.time() - begin:.1f} s)\n      " + text.replace("\n", "\n      "), flush=True)
    shutil.rmtree(tester.dir, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0
