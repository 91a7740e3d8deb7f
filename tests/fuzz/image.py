"""Guest images of the fuzz tests: guest.s with its tables filled in, and files that pretend to be kernels, disks and firmware."""
import pathlib
import random
import re
import struct
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

CR4, MSR, APIC, LM, SSE, MMX, XSAVE, SMP = 1, 2, 4, 8, 16, 32, 64, 128
CPUS = {"486": CR4, "pentium": CR4 | MSR | MMX, "pentium3": CR4 | MSR | MMX | APIC | SSE,
        "qemu64": CR4 | MSR | MMX | APIC | SSE | LM, "max": CR4 | MSR | MMX | APIC | SSE | LM | XSAVE}

# Kinds of guest.s, by number, and the weights of each profile.
KINDS = "template raw port pci ide fdc fwcfg mmio msr control apic smm far fpu fill nic disk virtio".split()
PROFILES = {
    "code": {"template": 40, "raw": 10, "fpu": 6, "far": 4, "fill": 4},
    "system": {"template": 10, "msr": 14, "control": 14, "far": 14, "smm": 6, "apic": 6},
    "devices": {"port": 16, "pci": 6, "ide": 16, "fdc": 8, "fwcfg": 8, "mmio": 8, "fill": 2, "nic": 8, "disk": 10, "virtio": 10},
    "net": {"nic": 40, "pci": 2, "port": 2, "mmio": 6, "fill": 4},
    "virtio": {"virtio": 50, "pci": 2, "port": 2, "mmio": 6, "fill": 4},
    "disk": {"disk": 50, "pci": 2, "ide": 4, "mmio": 6, "fill": 4},
    "mmio": {"mmio": 30, "apic": 8, "pci": 4, "raw": 4, "template": 16, "control": 2},
    "all": dict.fromkeys(KINDS, 4),
}

# Base and mask of what is added: RAM and its end (the end is put in), holes, windows, ROM, devices, where the kinds put things.
ADDRESSES = [
    (0x00000000, 0x1ff), (0x00040000, 0xffff), (0x00040000, 0x1fff), (0x00100000, 0x1fffff), (0x00080000, 0x1ffff), (0x0009fff0, 0x1f),
    (0x000a0000, 0x1ffff), (0x000b8000, 0x7fff), (0x000bfff0, 0x1f), (0x000c0000, 0x1ffff), (0x000e0000, 0x1ffff), (0x000efff0, 0x1f),
    (0x000ffff0, 0x1f), (0x00030000, 0xffff), (0x00003000, 0xfff), (0x00010000, 0xffff), (0x00020000, 0xffff),
    (0xfee00000, 0xfff), (0xfee00000, 0x3f0), (0xfedffff0, 0x1f), (0xfee00ff0, 0x1f), (0xfec00000, 0xfff), (0xfec00000, 0x1f),
    (0xfed00000, 0x3ff), (0xfed00000, 0x1f8), (0xfed003f0, 0x1f), (0xff000000, 0xffff), (0xfffeff00, 0x1ff), (0xffff0000, 0xffff),
    (0xfffffff0, 0x0f), (0xfd000000, 0xffffff), (0xfd000000, 0xff), (0xe0000000, 0xffff), (0xfe000000, 0x1fff), (0xfebf0000, 0xffff),
    (0x7ffffff0, 0x1f), (0x80000000, 0xffffffff), (0xfd0bfff0, 0x1f), (0x00fffff0, 0x1f), (0xc0000000, 0xfff),
    (0xe3000000, 0x1fff), (0xe3000100, 0xfc), (0xe3100000, 0x3f), (0xe3101000, 0x1f), (0xe3200000, 0x31ff), (0xe3300000, 0x31ff), (0xe3400000, 0x731ff),
    (0xe2000000, 0x1ffff), (0xe2000000, 0x5ffc), (0xe201fff0, 0x1f), (0xe2100000, 0xff), (0xe21000f0, 0x1f),
]
PORTS = [0x00, 0x02, 0x04, 0x08, 0x0a, 0x0b, 0x0c, 0x0d, 0x0f, 0x20, 0x21, 0xa0, 0xa1, 0x40, 0x41, 0x42, 0x43, 0x60, 0x60, 0x61, 0x64, 0x64, 0x70,
         0x71, 0x71, 0x80, 0x81, 0x83, 0x87, 0x92, 0xb2, 0xb3, 0xc0, 0xc8, 0xd0, 0xd4, 0xd6, 0xda, 0xde, 0xf0, 0xf1, 0x170, 0x171, 0x172, 0x175,
         0x176, 0x177, 0x376, 0x1f0, 0x1f0, 0x1f1, 0x1f2, 0x1f6, 0x1f7, 0x1f7, 0x3f6, 0x3f0, 0x3f1, 0x3f2, 0x3f3, 0x3f4, 0x3f5, 0x3f5, 0x3f7, 0x1ce,
         0x1cf, 0x1d0, 0x3b4, 0x3b5, 0x3c0, 0x3c0, 0x3c1, 0x3c2, 0x3c4, 0x3c5, 0x3c5, 0x3c6, 0x3c7, 0x3c8, 0x3c9, 0x3ce, 0x3cf, 0x3d4, 0x3d5, 0x3d5,
         0x3da, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3ff, 0x2f8, 0x2f9, 0x2fa, 0x402, 0x481, 0x487, 0x4d0, 0x4d1, 0x501, 0x510, 0x511, 0x514,
         0x518, 0xcf8, 0xcf9, 0xcfc, 0xcfd, 0xcfe, 0xb000, 0xb004, 0xb008, 0xb00c, 0xb028, 0xb030, 0xb038, 0xc000, 0xc002, 0xc004, 0xc008, 0xc00a,
         0xc00c, 0xafe0, 0x5658, 0xe8, 0xffff, 0xd000, 0xd037, 0xd0d9, 0xd100, 0xd107, 0xd110, 0xd11f, 0xd200, 0xd204, 0xd310, 0xd312, 0xd314, 0xd316, 0xd404, 0xd408, 0xd40e, 0xd410, 0xd412, 0xd508, 0xd50e,
         0xd510, 0xd512]


def templates():
    """The decoder's rows in the form that guest.s reads."""
    out = []
    for name in ("one_byte", "two_byte", "three_byte", "sse", "x87"):
        for row in re.findall(r"^OP\((.*)\)$", (ROOT / f"src/guest/x86/decode/{name}.inc").read_text(), re.M):
            column = [c.strip() for c in row.split(",")]
            kind, operands, attrs = column[3], column[5:8], ",".join(column[8:])
            opcode = {"M1": [], "M2": [0x0f], "M38": [0x0f, 0x38], "M3A": [0x0f, 0x3a]}.get(column[0])
            if opcode is None:
                continue
            prefix = {"P66": 0x66, "PF3": 0xf3, "PF2": 0xf2}.get(column[1], 0)
            immediate = sum({"Ib": 1, "sIb": 1, "Ib2": 1, "Iw": 2, "Id": 4, "Iz": 4, "Iv": 4, "Jb": 1, "Jz": 4, "Ap": 6, "Ob": 4, "Ov": 4}.get(o, 0)
                            for o in operands)
            value = int((re.findall(r"\((\w+)\)", kind) or ["0"])[0], 0)
            modrm = 2 if kind.startswith("BYTE") else 4 if kind.startswith("MEM(") else 3 if kind.startswith("R") and "(" in kind else \
                1 if kind != "ANY" or any(re.match(r"[EGMPQVWUNRCDS][bwdqvyzxtpsa]", o) or o == "M" for o in operands) else 0
            last = int(column[2], 0)
            low = 8 if any(o in ("Zb", "Zv", "Zy") for o in operands) else 16 if re.search(r"\bCC\b", attrs) else 1
            for n in range(low):
                code = opcode + [last + n]
                out.append(struct.pack("8B", prefix, len(code), *(code + [0, 0])[:3], modrm, value, immediate))
    return out


def msrs():
    text = (ROOT / "src/guest/x86/sysregs.def").read_text()
    return [int(n, 16) for n in re.findall(r"^[A-Z]+\((0x[0-9a-f]+),", text, re.M)]


def assemble(folder):
    """guest.s as bytes, its tables empty."""
    obj, binary = folder / "guest.o", folder / "guest.bin"
    subprocess.run(["as", "--32", "-o", obj, HERE / "guest.s"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0xffff0000", "--oformat", "binary", "-o", binary, obj], check=True)
    return binary.read_bytes()


def guest_image(base, seed, cpu, smp, profile, ram):
    """The firmware image of one case: the same arguments give the same bytes."""
    image, r = bytearray(base), random.Random(seed)
    rows = templates()
    struct.pack_into("<III", image, 0, r.getrandbits(32) | 1, CPUS[cpu] | (SMP if smp > 1 else 0), len(rows))
    names = [n for n, w in PROFILES[profile].items() for _ in range(w)]
    r.shuffle(names)
    image[16:80] = bytes(KINDS.index(names[i % len(names)]) for i in range(64))
    places = ADDRESSES + [(ram - 16, 0x1f), (ram - 0x1000, 0xfff), (ram, 0xffff)]
    for n in range(64):
        struct.pack_into("<II", image, 0x100 + 8 * n, *(places[n] if n < len(places) else r.choice(places)))
    struct.pack_into("<128H", image, 0x300, *r.sample(PORTS, 128))
    known = msrs()
    struct.pack_into("<256I", image, 0x400, *(r.sample(known, len(known)) + [r.choice(known) for _ in range(256)])[:256])
    image[0x8000:0x8000 + 8 * len(rows)] = b"".join(rows)
    if len(rows) * 8 > 0x7000:
        raise ValueError("guest.s has no room for so many rows")
    return bytes(image)


def noise(r, size):
    return r.randbytes(size)


def multiboot(r):
    """A Multiboot header with wild fields (or sane ones with wild addresses) in an ELF or raw file."""
    flags = r.choice([0, 3, 0x10003, 0x10000, r.getrandbits(17), r.getrandbits(32)])
    magic = 0x1badb002
    wild = lambda: r.choice([0, 0x100000, 0xfffff000, r.getrandbits(32), r.getrandbits(24)])
    header = struct.pack("<12I", magic, flags, -(magic + flags) & 0xffffffff, *(wild() for _ in range(9)))
    body = bytearray(noise(r, 16384))
    at = r.choice([0, 4, 64, 4096, 8100])
    body[at:at + len(header)] = header
    if r.random() < 0.6:
        small = lambda: r.choice([0, 1, 52, 84, 0x1000, r.getrandbits(16), r.getrandbits(32)])
        elf = b"\x7fELF" + bytes([r.choice([1, 1, 2, r.getrandbits(8)]), 1, 1]) + bytes(9)
        elf += struct.pack("<HHIIIIIHHHHHH", 2, r.choice([3, 62]), 1, wild(), r.choice([52, small()]), small(), 0, 52, r.choice([32, r.getrandbits(8)]),
                           r.choice([1, 2, r.getrandbits(16)]), r.choice([40, small() & 0xffff]), r.getrandbits(16), r.getrandbits(16))
        for _ in range(4):
            elf += struct.pack("<8I", 1, small(), wild(), wild(), small(), small(), 7, small())
        if at >= 4096:
            body[:len(elf)] = elf
        else:
            body = bytearray(elf) + body[:8000]
    return bytes(body)


def linux(r):
    """A boot sector with the header of Linux's boot protocol, whose fields are wild."""
    body = bytearray(noise(r, r.choice([512, 1024, 4096, 65536])).ljust(1024, b"\0"))
    body[0x1f1] = r.choice([0, 1, 4, 64, 255])
    body[0x1fe:0x200] = b"\x55\xaa"
    body[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", body, 0x206, r.choice([0x0100, 0x0200, 0x0203, 0x020f, r.getrandbits(16)]))
    return bytes(body)


def damaged(r, data, count):
    body = bytearray(data)
    for _ in range(count):
        at = r.randrange(len(body))
        body[at:at + 4] = r.choice([noise(r, 4), b"\xff\xff\xff\xff", bytes(4)])[:len(body) - at]
    return bytes(body)
