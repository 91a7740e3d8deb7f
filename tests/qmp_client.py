"""A client of the machine protocol, for tests: requests, answers and events of one connection."""
import json
import socket

from harness import Failure, check, wait_until


class Qmp:
    def __init__(self, address, timeout=60, negotiate=True):
        """address: a path of a unix socket, or (host, port)."""
        family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX

        def connected():
            self.s = socket.socket(family)
            try:
                self.s.connect(address if isinstance(address, tuple) else str(address))
                return True
            except OSError:
                self.s.close()
                return False
        wait_until(f"the socket {address}", connected, timeout, 0.05)
        self.s.settimeout(timeout)
        self.buffer = b""
        self.events = []
        self.greeting = self.read()
        check("QMP" in self.greeting, f"no greeting: {self.greeting}")
        if negotiate:
            self.command("qmp_capabilities")

    def read(self):
        """The next object, or None at the end."""
        while b"\n" not in self.buffer:
            part = self.s.recv(1 << 20)
            if not part:
                return None
            self.buffer += part
        line, _, self.buffer = self.buffer.partition(b"\n")
        check(line.endswith(b"\r"), f"no carriage return: {line[-20:]}")
        return json.loads(line)

    def answer(self):
        """The next object that is no event; events are kept."""
        while True:
            o = self.read()
            if o is None:
                raise Failure("the connection ended without an answer")
            if "event" not in o:
                return o
            self.events.append(o)

    def send(self, text):
        self.s.sendall(text if isinstance(text, bytes) else text.encode())

    def request(self, command, /, **arguments):
        o = {"execute": command}
        if arguments:
            o["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self.send(json.dumps(o))
        return self.answer()

    def command(self, name, /, **arguments):
        o = self.request(name, **arguments)
        if "return" not in o:
            raise Failure(f"{name}: {o}")
        return o["return"]

    def error(self, name, /, **arguments):
        o = self.request(name, **arguments)
        check("error" in o, f"{name} {arguments} should fail: {o}")
        return o["error"]

    def hmp(self, line):
        return self.command("human-monitor-command", command_line=line).replace("\r", "")

    def event(self, name):
        """Waits for an event of this name; those before it are dropped."""
        while True:
            while self.events:
                e = self.events.pop(0)
                if e["event"] == name:
                    return e
            o = self.read()
            if o is None:
                raise Failure(f"the connection ended without the event {name}")
            check("event" in o, f"an answer nobody asked for: {o}")
            self.events.append(o)

    def close(self):
        self.s.close()
