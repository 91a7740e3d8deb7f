#!/usr/bin/env python3
"""Disk images, both ways with Debian's qemu-img and qemu-io: tests/img/run.py build/release/doppel [NAME...]

They check and compare what we write, we what they write, over the features of the format; commands print the same."""
import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KINDS = {
    "default": "",
    "v2": "compat=0.10",
    "small": "cluster_size=512",
    "large": "cluster_size=2M",
    "bits1": "refcount_bits=1,cluster_size=4k",
    "bits8": "refcount_bits=8,cluster_size=1k",
    "bits64": "refcount_bits=64,cluster_size=512",
    "zstd": "compression_type=zstd",
    "extended": "extended_l2=on,cluster_size=16k",
    "lazy": "lazy_refcounts=on",
}


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


class Tester:
    def __init__(self, program):
        self.program = pathlib.Path(program).resolve()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="doppel-img."))

    def run(self, *args, ok=(0,), program=None):
        command = [str(program or self.program), *([] if program else ["img"]), *map(str, args)]
        p = subprocess.run(command, cwd=self.dir, capture_output=True, timeout=120)
        out, err = p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")
        check(p.returncode in ok, f"{' '.join(command)}: status {p.returncode}: {out}{err}")
        self.status = p.returncode
        return out

    def theirs(self, *args, ok=(0,)):
        return self.run(*args, ok=ok, program="qemu-img")

    def io(self, image, *commands, options=()):
        args = [x for c in commands for x in ("-c", c)]
        out = self.run(*options, *args, image, program="qemu-io")
        check("failed" not in out and "Error" not in out, out)

    def path(self, name):
        return self.dir / name

    def same(self, a, b, text=""):
        check(self.path(a).read_bytes() == self.path(b).read_bytes(), f"{a} and {b} differ {text}")

    def raw(self, name, seed, size=3 << 20):
        """Runs of noise, text and nothing."""
        r = random.Random(seed)
        data = bytearray()
        while len(data) < size:
            n = r.choice([512, 4096, 10240, 65536, 200000]) & ~511
            data += r.choice([r.randbytes(n), b"compressible " * (n // 13) + bytes(n % 13), bytes(n)])
        self.path(name).write_bytes(data[:size])

    def scribble(self, image, seed, size, compressed=None, number=40):
        """Random requests by qemu-io."""
        r = random.Random(seed)
        commands = []
        if compressed:  # into a new image: qemu-io refuses to overwrite with a compressed cluster
            for cluster in r.sample(range(size // compressed), min(10, size // compressed)):
                commands.append(f"write -c -P {r.randrange(1, 255)} {cluster * compressed} {compressed}")
        for i in range(number):
            offset, length = r.randrange(size // 512) * 512, r.choice([512, 1024, 4096, 65536, 300 * 512])
            length = min(length, size - offset)
            what = r.randrange(10)
            if what == 0:
                commands.append(f"write -z {offset} {length}")
            elif what == 1:
                commands.append(f"discard {offset} {length}")
            else:
                commands.append(f"write -P {r.randrange(1, 255)} {offset} {length}")
        self.io(image, *commands)


def cluster_size(options):
    m = re.search(r"cluster_size=(\w+)", options)
    text = m.group(1) if m else "64k"
    return int(text[:-1]) * {"k": 1024, "M": 1 << 20}[text[-1]] if text[-1] in "kM" else int(text)


def options_of(text):
    return ["-o", text] if text else []


def test_they_write_we_read(t):
    for name, options in KINDS.items():
        image, size = f"{name}.qcow2", 5 << 20
        t.theirs("create", "-f", "qcow2", *options_of(options), image, size)
        compressed = cluster_size(options)
        t.scribble(image, 1, size, compressed=compressed)
        if name != "bits1":
            t.theirs("snapshot", "-c", "before", image)
            t.scribble(image, 2, size)
        t.run("check", image)
        t.run("convert", "-O", "raw", image, "ours.raw")
        t.theirs("convert", "-O", "raw", image, "theirs.raw")
        t.same("ours.raw", "theirs.raw", name)
        check(t.run("compare", image, "theirs.raw") == "Images are identical.\n", name)
        if name != "bits1":
            t.run("convert", "-l", "before", "-O", "raw", image, "ours.raw")
            t.theirs("convert", "-l", "before", "-O", "raw", image, "theirs.raw")
            t.same("ours.raw", "theirs.raw", name + " before")


def test_we_write_they_read(t):
    t.raw("source.raw", 3)
    for name, options in KINDS.items():
        for flags in ([], ["-c"], ["-W", "-m", "2"]):
            image = f"{name}.qcow2"
            t.run("convert", *flags, "-O", "qcow2", *options_of(options), "source.raw", image)
            t.theirs("check", image)
            t.run("check", image)
            t.theirs("compare", "source.raw", image)
        t.scribble(image, 4, 3 << 20)
        t.theirs("check", image)
        t.run("check", image)


def test_random_images(t):
    """The images that the random tests of the block layer made, snapshots and all."""
    program = t.program.parent / "test_block"
    subprocess.run([program, "--gtest_filter=Qcow2Random.AgreesWithAnArray"], check=True, capture_output=True,
                   env={**os.environ, "DOPPEL_TEST_IMAGES": str(t.dir), "DOPPEL_TEST_FULL": ""})
    images = sorted(t.dir.glob("*.qcow2"))
    check(len(images) >= 15, "too few images")
    for image in images:
        if image.with_suffix(".base").exists():
            t.theirs("rebase", "-u", "-b", image.with_suffix(".base"), "-F", "raw", image)
        t.theirs("check", image)
        t.theirs("compare", image, image.with_suffix(".raw"))
        t.run("compare", image, image.with_suffix(".raw"))


def test_chain(t):
    """The same steps by both: create, write, commit, rebase; the disks are the same after each."""
    for name in ("default", "v2", "small", "extended", "lazy"):
        options, size = KINDS[name], 2 << 20
        t.raw("base.raw", 5, size)
        shutil.copy(t.path("base.raw"), t.path("base2.raw"))
        for who, img in (("o", t.run), ("t", t.theirs)):
            shutil.copy(t.path("base.raw"), t.path(f"{who}.raw"))
            img("create", "-f", "qcow2", *options_of(options), "-b", f"{who}.raw", "-F", "raw", f"{who}1.qcow2")
            t.scribble(f"{who}1.qcow2", 6, size)
            img("create", "-f", "qcow2", *options_of(options), "-b", f"{who}1.qcow2", "-F", "qcow2", f"{who}2.qcow2", size + 65536)
            t.scribble(f"{who}2.qcow2", 7, size + 65536)
        t.theirs("compare", "o2.qcow2", "t2.qcow2")
        t.run("compare", "o2.qcow2", "t2.qcow2")
        # safe rebase onto the raw base, and onto nothing
        shutil.copy(t.path("o2.qcow2"), t.path("o3.qcow2"))
        t.run("rebase", "-b", "base2.raw", "-F", "raw", "o3.qcow2")
        t.theirs("check", "o3.qcow2")
        t.theirs("compare", "o3.qcow2", "t2.qcow2")
        t.run("rebase", "-b", "", "o3.qcow2")
        t.theirs("check", "o3.qcow2")
        t.theirs("compare", "o3.qcow2", "t2.qcow2")
        check("backing" not in t.theirs("info", "o3.qcow2"), "still a backing file")
        for img, who in ((t.run, "o"), (t.theirs, "t")):
            img("commit", f"{who}2.qcow2")
            img("commit", f"{who}1.qcow2")
        t.theirs("check", "o1.qcow2")
        t.theirs("check", "o2.qcow2")
        t.same("o.raw", "t.raw", name)
        t.theirs("compare", "o2.qcow2", "t2.qcow2")


def test_snapshots(t):
    for name in ("default", "v2", "small", "extended", "zstd", "bits8"):
        image, size = f"{name}.qcow2", 2 << 20
        t.run("create", "-f", "qcow2", *options_of(KINDS[name]), image, size)
        disks = {}
        for i, img in enumerate((t.run, t.theirs, t.run)):
            t.scribble(image, 10 + i, size, compressed=cluster_size(KINDS[name]) if i == 0 else None)
            img("snapshot", "-c", f"s{i}", image)
            t.theirs("convert", "-O", "raw", image, f"s{i}.raw")
            t.theirs("check", image)
            t.run("check", image)
        ours, theirs = t.run("snapshot", "-l", image), t.theirs("snapshot", "-l", image)
        check(ours == theirs, f"{ours}{theirs}")
        for i, img in ((1, t.theirs), (0, t.run), (2, t.run)):
            img("snapshot", "-a", f"s{i}", image)
            t.theirs("compare", image, f"s{i}.raw")
            t.theirs("check", image)
        t.scribble(image, 20, size)
        t.run("snapshot", "-d", "s1", image)
        t.theirs("check", image)
        t.theirs("snapshot", "-d", "s0", image)
        t.run("check", image)
        t.run("snapshot", "-d", "s2", image)
        t.theirs("check", image)


def test_data_file(t):
    for raw in ("on", "off"):
        t.run("create", "-f", "qcow2", "-o", f"data_file=o{raw}.dat,data_file_raw={raw}", f"o{raw}.qcow2", "3M")
        t.theirs("create", "-f", "qcow2", "-o", f"data_file=t{raw}.dat,data_file_raw={raw}", f"t{raw}.qcow2", "3M")
        for who in "ot":
            t.scribble(f"{who}{raw}.qcow2", 30, 3 << 20)
            t.run("check", f"{who}{raw}.qcow2")
            t.theirs("check", f"{who}{raw}.qcow2")
        t.run("compare", f"o{raw}.qcow2", f"t{raw}.qcow2")
        t.raw("source.raw", 31)
        t.run("convert", "-n", "source.raw", "-O", "qcow2", f"t{raw}.qcow2")
        t.theirs("check", f"t{raw}.qcow2")
        t.theirs("compare", f"t{raw}.qcow2", "source.raw")
    t.same("ton.dat", "source.raw")


def test_resize(t):
    for name in ("default", "v2", "small", "extended"):
        t.raw("source.raw", 40, 1 << 20)
        t.run("convert", "-O", "qcow2", *options_of(KINDS[name]), "source.raw", "a.qcow2")
        t.run("resize", "a.qcow2", "+9M")
        t.theirs("check", "a.qcow2")
        t.theirs("compare", "a.qcow2", "source.raw")
        t.scribble("a.qcow2", 41, 10 << 20)
        t.run("resize", "--shrink", "a.qcow2", "700000")
        t.theirs("check", "a.qcow2")
        t.run("resize", "a.qcow2", "2M")
        t.theirs("convert", "-O", "raw", "a.qcow2", "a.raw")
        data = t.path("a.raw").read_bytes()
        check(len(data) == 2 << 20 and not any(data[700416:]), f"{name}: what was cut off is there again")


def test_check_repairs(t):
    t.run("create", "-f", "qcow2", "a.qcow2", "16M")
    t.io("a.qcow2", "write -P 1 0 1M")
    good = t.path("a.qcow2").read_bytes()

    def damage(*patches):
        data = bytearray(good)
        for offset, value in patches:
            data[offset:offset + len(value)] = value
        t.path("b.qcow2").write_bytes(data)
        return "b.qcow2"

    block = 0x20000
    t.run("check", damage(), ok=(0,))
    t.run("check", damage((block + 2 * 6, b"\0\0")), ok=(2,))
    t.run("check", damage((block + 2 * 6, b"\0\2")), ok=(2,))  # a leak, and a flag that is wrong
    check(json.loads(t.run("check", "--output=json", "b.qcow2", ok=(2,)))["leaks"] == 1, "leak not counted")
    t.run("check", "-r", "leaks", "b.qcow2", ok=(0,))
    t.theirs("check", "b.qcow2")
    t.run("check", "-r", "all", damage((block + 2 * 6, b"\0\0")), ok=(0,))
    t.theirs("check", "b.qcow2")
    t.theirs("compare", "a.qcow2", "b.qcow2")
    for patches in ([(block, bytes(65536))], [(0x10000, bytes(8))], [(0x10000, bytes.fromhex("0000000000012345"))],
                    [(0x10000, bytes.fromhex("0000000000050000"))], [(block + 2, b"\0\0"), (block + 8, b"\0\7")]):
        t.run("check", damage(*patches), ok=(2,))
        t.run("check", "-r", "all", "b.qcow2", ok=(0,))
        t.theirs("check", "b.qcow2")
        t.theirs("compare", "a.qcow2", "b.qcow2")
    # dirty and corrupt marks
    t.run("check", "-r", "all", damage((79, b"\2")), ok=(0,))
    check("corrupt: false" in t.theirs("info", "b.qcow2"), "still marked corrupt")
    t.run("resize", damage((79, b"\2")), "20M", ok=(1,))
    t.run("resize", damage((79, b"\1"), (block + 2 * 6, b"\0\0")), "20M")
    t.theirs("check", "b.qcow2")
    t.run("check", "source.img", ok=(1,))
    t.run("create", "r.img", "1M")
    t.run("check", "r.img", ok=(63,))


def make_dmg(path, data):
    """A disk image as Apple's tools make it: runs of zeroes, raw and deflated."""
    import base64
    import zlib
    body, rows, sectors = b"", b"", len(data) // 512
    for i in range(0, sectors, 512):
        part = data[i * 512:(i + 512) * 512]
        kind, packed = (0, b"") if not any(part) else (1, part) if i % 1024 == 0 else (0x80000005, zlib.compress(part))
        rows += struct.pack(">IIQQQQ", kind, 0, i, len(part) // 512, len(body), len(packed))
        body += packed
    rows += struct.pack(">IIQQQQ", 0xffffffff, 0, sectors, 0, len(body), 0)
    table = struct.pack(">4sIQQQ", b"mish", 1, 0, sectors, 0).ljust(200, b"\0") + struct.pack(">I", len(rows) // 40) + rows
    xml = b"<plist><dict><key>resource-fork</key><dict><key>blkx</key><array><dict><key>Data</key><data>" + base64.encodebytes(table) + b"</data></dict></array></dict></dict></plist>"
    koly = bytearray(512)
    struct.pack_into(">4sIIIQQQ", koly, 0, b"koly", 4, 512, 1, 0, 0, len(body))
    struct.pack_into(">QQ", koly, 216, len(body), len(xml))
    struct.pack_into(">Q", koly, 492, sectors)
    path.write_bytes(body + xml + bytes(koly))


FOREIGN = [("vdi", ""), ("vdi", "static=on"), ("vpc", ""), ("vpc", "subformat=fixed"), ("vpc", "force_size=on"), ("vhdx", ""),
           ("vhdx", "subformat=fixed"), ("vhdx", "block_size=2M"), ("parallels", ""), ("qcow", ""), ("vmdk", ""), ("vmdk", "subformat=streamOptimized"),
           ("vmdk", "subformat=twoGbMaxExtentSparse"), ("vmdk", "subformat=monolithicFlat"), ("vmdk", "subformat=twoGbMaxExtentFlat"),
           ("vmdk", "zeroed_grain=on")]


def test_foreign_formats(t):
    """Formats that are only read: what qemu-img writes, and overlays on it."""
    t.raw("source.raw", 80, 5 << 20)
    for number, (fmt, options) in enumerate(FOREIGN):
        image = f"{number}.{fmt}"
        t.theirs("convert", "-O", fmt, *options_of(options), "source.raw", image)
        t.run("convert", "-O", "raw", image, "ours.raw")
        t.theirs("convert", "-f", fmt, "-O", "raw", image, "theirs.raw")  # they don't find out a fixed VHD
        t.same("ours.raw", "theirs.raw", image)
        ours, theirs = (json.loads(img("info", *f, "--output=json", image)) for img, f in ((t.run, []), (t.theirs, ["-f", fmt])))
        check(ours["format"] == theirs["format"] == fmt and ours["virtual-size"] == theirs["virtual-size"], f"{ours} {theirs}")
        t.run("create", "-f", "qcow2", "-b", image, "-F", fmt, "top.qcow2")
        t.scribble("top.qcow2", number, 5 << 20)
        t.run("convert", "-O", "raw", "top.qcow2", "ours.raw")
        t.theirs("convert", "-O", "raw", "top.qcow2", "theirs.raw")
        t.same("ours.raw", "theirs.raw", image + " below qcow2")
        t.run("resize", image, "10M", ok=(1,))
    # A chain of qcow, and vmdk with a parent
    t.theirs("create", "-f", "qcow", "-b", "9.qcow", "-F", "qcow", "top.qcow")
    t.theirs("create", "-f", "vmdk", "-b", "10.vmdk", "-F", "vmdk", "top.vmdk")
    for image in ("top.qcow", "top.vmdk"):
        t.scribble(image, 81, 5 << 20)
        t.theirs("convert", "-O", "raw", image, "theirs.raw")
        check(t.run("compare", image, "theirs.raw") == "Images are identical.\n", image)
    t.theirs("create", "-f", "qcow", "packed.qcow", "1M")
    t.io("packed.qcow", "write -c -P 7 0 4096", "write -P 8 4096 512", "write -c -P 9 8192 4096")
    t.theirs("convert", "-O", "raw", "packed.qcow", "theirs.raw")
    check(t.run("compare", "packed.qcow", "theirs.raw") == "Images are identical.\n", "packed")
    make_dmg(t.path("a.dmg"), t.path("source.raw").read_bytes())
    t.run("compare", "a.dmg", "source.raw")


def test_foreign_fuzz(t):
    t.raw("source.raw", 82, 1 << 20)
    for number, (fmt, options) in enumerate(FOREIGN):
        if not any(word in options for word in ("fixed", "static", "Flat", "twoGb")):
            t.theirs("convert", "-O", fmt, *options_of(options), "source.raw", f"{number}.{fmt}")
    make_dmg(t.path("a.dmg"), t.path("source.raw").read_bytes())
    p = subprocess.run([t.program.parent / "test_block", "--gtest_filter=FormatFuzz*"], capture_output=True, text=True, env={**os.environ, "DOPPEL_TEST_IMAGES": str(t.dir)})
    check(p.returncode == 0 and "SKIPPED" not in p.stdout, p.stdout[-2000:] + p.stderr[-2000:])


def row(*cells):
    print("      " + " | ".join(str(c) for c in cells), flush=True)


def test_interop_table(t):
    """Every format and feature, each program's images by the other; printed as a table."""
    size = 3 << 20
    t.raw("source.raw", 90, size)
    row(f"{'format':44}", "they write, we read", "we write, they read", "checks of both")
    kinds = {**KINDS, "data file": "data_file=d.raw,data_file_raw=on", "compressed": "", "compressed zstd": "compression_type=zstd", "metadata preallocated": "preallocation=metadata",
             "full": "preallocation=full"}
    for name, options in kinds.items():
        flags = ["-c"] if name.startswith("compressed") else []
        for image, writer in (("t.qcow2", t.theirs), ("o.qcow2", t.run)):
            writer("convert", *flags, "-O", "qcow2", *options_of(options.replace("d.raw", image + ".data")), "source.raw", image)
            for reader in (t.run, t.theirs):
                reader("check", image)
                reader("compare", "source.raw", image)
        row(f"{'qcow2 ' + (options if options and name != 'compressed zstd' else name):44}", f"{'same':19}", f"{'same':19}", "clean")
    for number, (fmt, options) in enumerate(FOREIGN):
        image = f"{number}.{fmt}"
        t.theirs("convert", "-O", fmt, *options_of(options), "source.raw", image)
        t.run("compare", "-f", fmt, image, "source.raw")
        t.run("create", "-f", "qcow2", "-b", image, "-F", fmt, "over.qcow2")
        t.scribble("over.qcow2", number, size)
        t.run("convert", "-O", "raw", "over.qcow2", "over.raw")
        t.theirs("compare", "over.qcow2", "over.raw")
        t.theirs("check", "over.qcow2")
        row(f"{fmt + ' ' + options:44}", f"{'same':19}", f"{'below an overlay':19}", "clean")
    make_dmg(t.path("a.dmg"), t.path("source.raw").read_bytes())
    for reader in (t.run, t.theirs):
        reader("compare", "a.dmg", "source.raw")
    row(f"{'dmg':44}", f"{'same':19}", f"{'-':19}", "-")
    row(f"{'raw':44}", f"{'same':19}", f"{'same':19}", "-")


def make_folder(top, seed, files):
    """Names and sizes by chance, of all kinds that FAT can and can't have."""
    r = random.Random(seed)
    folders, names = [top], ["CON", "a b", ".hidden", "UPPER.TXT", "lower.txt", "two.dots.txt", "x" * 200, "trailing.", "\u00e4\u00f6\u00fc", "\u4e2d\u6587.txt", "q?*<>|\"x", "A.B.C", "~1", "FOO~1.TXT"]
    top.mkdir()
    for n in range(files):
        parent = r.choice(folders)
        name = r.choice(names) if r.random() < 0.4 else "".join(r.choices("abcXYZ019 ._-+,;=[]~\u00e9\u03b1\u0416", k=r.randrange(1, 40)))
        path = parent / name
        if name in (".", "..") or path.exists():
            continue
        if r.random() < 0.15 and len(path.parts) < 20:
            path.mkdir()
            folders.append(path)
        else:
            path.write_bytes(r.randbytes(r.choice([0, 1, 511, 512, 2048, 8192, 8193, 70000])))
    return top


def volume(t, image, floppy):
    """The file system of an image, without the partition table's track."""
    data = t.path(image).read_bytes()
    t.path("volume").write_bytes(data if floppy else data[63 * 512:])


def test_fat(t):
    """Folders as FAT disks: fsck finds nothing, mtools reads every file back; QEMU's driver shows the same files."""
    for number, (words, floppy, files) in enumerate((("", False, 60), ("16:", False, 150), ("32:", False, 300), ("12:", False, 40), ("floppy:", True, 12), ("floppy:12:", True, 8))):
        top = make_folder(t.path(f"folder{number}"), 100 + number, files)
        t.run("convert", "-O", "raw", f"fat:{words}{top}", "disk.raw")
        volume(t, "disk.raw", floppy)
        p = subprocess.run(["fsck.fat", "-n", t.path("volume")], capture_output=True, text=True)
        check(p.returncode == 0, f"fat:{words}: fsck.fat says {p.returncode}: {p.stdout}{p.stderr}")
        shutil.rmtree(t.path("back"), ignore_errors=True)
        t.path("back").mkdir()
        p = subprocess.run(["mcopy", "-s", "-n", "-Q", "-m", "-i", t.path("volume"), "::*", t.path("back")], capture_output=True, text=True,
                           env={**os.environ, "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8"})
        check(p.returncode == 0, f"fat:{words}: mcopy: {p.stderr}")
        ours, theirs = (sorted(f.read_bytes() for f in d.rglob("*") if f.is_file()) for d in (top, t.path("back")))
        check(ours == theirs, f"fat:{words}: {len(ours)} files, mtools found {len(theirs)}")
    check(json.loads(t.run("info", "--output=json", f"fat:{top}"))["format"] == "vvfat", "info")
    for words, pattern in (("fat:", "names no folder"), ("fat:/nonesuch", "No such file"), ("fat:floppy:32:/tmp", "FAT32"), (f"fat:{t.path('disk.raw')}", "no folder")):
        p = subprocess.run([t.program, "img", "convert", "-O", "raw", words, t.path("x.raw")], capture_output=True, text=True)
        check(p.returncode == 1 and pattern in p.stderr, f"{words}: {p.stderr}")


def test_fat_fuzz(t):
    """Folders of any content, in all shapes: a sound file system or a clear error, never anything else."""
    rounds = 60 if os.environ.get("DOPPEL_TEST_FULL") else 8
    made = 0
    for seed in range(rounds):
        r = random.Random(seed)
        top = make_folder(t.path(f"fuzz{seed}"), 1000 + seed, r.choice([0, 1, 5, 30, 200, 700]))
        words = r.choice(["", "12:", "16:", "32:", "floppy:", "floppy:12:", "floppy:16:"])
        p = subprocess.run([t.program, "img", "convert", "-O", "raw", f"fat:{words}{top}", t.path("disk.raw")], capture_output=True, text=True)
        if p.returncode == 1:
            check("can't show the folder" in p.stderr and "fit" in p.stderr, f"seed {seed}: {p.stderr}")
        else:
            check(p.returncode == 0, f"seed {seed}: status {p.returncode}: {p.stderr}")
            volume(t, "disk.raw", "floppy" in words)
            p = subprocess.run(["fsck.fat", "-n", t.path("volume")], capture_output=True, text=True)
            check(p.returncode == 0, f"seed {seed} fat:{words}: fsck.fat says {p.returncode}: {p.stdout[-1500:]}{p.stderr}")
            made += 1
        shutil.rmtree(top)
    check(made >= rounds // 2, f"only {made} of {rounds} folders fitted")


def test_bitmaps(t):
    t.theirs("create", "-f", "qcow2", "a.qcow2", "16M")
    t.theirs("bitmap", "--add", "--disable", "a.qcow2", "off")
    t.theirs("bitmap", "--add", "-g", "1M", "a.qcow2", "on")
    before = json.loads(t.theirs("info", "--output=json", "a.qcow2"))["format-specific"]["data"]["bitmaps"]
    ours = json.loads(t.run("info", "--output=json", "a.qcow2"))["format-specific"]["data"]["bitmaps"]
    check(sorted(map(str, before)) == sorted(map(str, ours)), f"{before} {ours}")
    t.raw("source.raw", 50)
    t.run("convert", "-n", "source.raw", "-O", "qcow2", "a.qcow2")
    after = json.loads(t.theirs("info", "--output=json", "a.qcow2"))["format-specific"]["data"]["bitmaps"]
    check(before == after, f"{before} {after}")
    t.theirs("check", "a.qcow2")
    t.run("check", "a.qcow2")
    t.theirs("compare", "a.qcow2", "source.raw")
    # Both follow the writes: the bitmap that is on says the same by both.
    t.run("resize", "a.qcow2", "20M", ok=(1,))


BITMAP_ACTIONS = [["--add", "IMAGE", "x"], ["--add", "-g", "4k", "IMAGE", "y"], ["--disable", "IMAGE", "x"],
                  ["--merge", "off", "IMAGE", "y"], ["--merge", "on", "IMAGE", "x"], ["--merge", "off", "--clear", "--enable", "IMAGE", "x"],
                  ["--add", "-g", "512", "--merge", "on", "-b", "a.qcow2", "-F", "qcow2", "IMAGE", "z"], ["--remove", "IMAGE", "off"],
                  ["--remove", "IMAGE", "none"], ["--add", "--remove", "IMAGE", "x"], ["--add", "--disable", "--add", "IMAGE", "w"], ["IMAGE", "x"],
                  ["--clear", "IMAGE"], ["-g", "4k", "--clear", "IMAGE", "x"], ["--merge", "x", "-F", "qcow2", "IMAGE", "y"], ["--clear", "-b", "IMAGE", "IMAGE", "x"],
                  ["--add", "-g", "3", "IMAGE", "q"], ["--merge", "none", "IMAGE", "x"], ["--enable", "IMAGE", "none"]]


def bitmap_rows(data):
    """Place, name, fields of each row of a qcow2 image's directory of bitmaps."""
    at = struct.unpack_from(">I", data, 100)[0]
    while (kind := struct.unpack_from(">II", data, at))[0]:
        if kind[0] == 0x23852875:
            count, _, _, row = struct.unpack_from(">IIQQ", data, at + 8)
            for _ in range(count):
                table, entries, flags, _, granularity, name, extra = struct.unpack_from(">QIIBBHI", data, row)
                start = row + 24 + extra
                yield row, bytes(data[start:start + name]), table, entries, flags, granularity
                row += -(-(24 + extra + name) // 8) * 8
        at += 8 + -(-kind[1] // 8) * 8


def stored_bitmaps(path):
    """Granularity, flags and bits of each bitmap of a qcow2 image, by name."""
    data, found = path.read_bytes(), {}
    cluster, size = 1 << struct.unpack_from(">I", data, 20)[0], struct.unpack_from(">Q", data, 24)[0]
    for _, name, table, entries, flags, granularity in bitmap_rows(data):
        bits = b""
        for entry in struct.unpack_from(f">{entries}Q", data, table):
            offset = entry & 0xfffffffffffe00
            bits += data[offset:offset + cluster].ljust(cluster, b"\0") if offset else bytes([255 * (entry & 1)]) * cluster
        number = -(-size // (1 << granularity))
        found[name] = granularity, flags, hex(int.from_bytes(bits, "little") & (1 << number) - 1)
    return found


def both_ways(t, args, images=("IMAGE", "IMAGE")):
    """The same status and words by both programs; each has its own image."""
    t.path("qemu-img").exists() or t.path("qemu-img").symlink_to(t.program)
    results = []
    for program, image in (("qemu-img", images[0]), (t.path("qemu-img"), images[1])):
        command = [program] + [image if a == "IMAGE" else a for a in args]
        p = subprocess.run(command, cwd=t.dir, capture_output=True, text=True, timeout=60)
        results.append((p.returncode, p.stdout, p.stderr.replace(image, "IMAGE")))
    check(results[0] == results[1], f"{args}: theirs {results[0]}, ours {results[1]}")


def image_with_bitmaps(t):
    t.theirs("create", "-f", "qcow2", "a.qcow2", "100M")
    t.theirs("bitmap", "--add", "-g", "512", "a.qcow2", "off")
    t.theirs("bitmap", "--add", "-g", "1M", "a.qcow2", "on")
    t.theirs("bitmap", "--add", "a.qcow2", "empty")
    t.io("a.qcow2", "write 0 3M", "write 50M 64k", "write 104857088 512")
    t.theirs("bitmap", "--disable", "--clear", "a.qcow2", "empty")
    t.theirs("bitmap", "--disable", "a.qcow2", "off")


def test_bitmaps_convert(t):
    image_with_bitmaps(t)
    want = stored_bitmaps(t.path("a.qcow2"))
    check(len(want) == 3 and want[b"off"][2] != "0x0", "the bitmaps of the source")
    for options in ("", "cluster_size=512", "cluster_size=2M", "extended_l2=on,cluster_size=16k"):
        t.run("convert", "--bitmaps", "-O", "qcow2", "-o", options or "compat=1.1", "a.qcow2", "ours.qcow2")
        check(stored_bitmaps(t.path("ours.qcow2")) == want, f"{options}: {stored_bitmaps(t.path('ours.qcow2'))}")
        t.theirs("check", "ours.qcow2")
        t.run("check", "ours.qcow2")
        t.theirs("convert", "--bitmaps", "-O", "qcow2", "ours.qcow2", "back.qcow2")
        check(stored_bitmaps(t.path("back.qcow2")) == want, "what they read of ours")
        for output in ("human", "json"):
            both_ways(t, ["measure", "--output=" + output, "-O", "qcow2", "-o", options or "compat=1.1", "a.qcow2"])
    for args in (["-O", "raw"], ["-O", "qcow2", "-o", "compat=0.10"]):
        both_ways(t, ["convert", "--bitmaps", *args, "a.qcow2", "x"])
    t.raw("r.raw", 1)
    both_ways(t, ["convert", "--bitmaps", "-f", "raw", "-O", "qcow2", "r.raw", "x"])
    both_ways(t, ["convert", "--bitmaps", "-O", "qcow2", "a.qcow2", "a.qcow2", "x"])
    both_ways(t, ["convert", "--skip-broken-bitmaps", "-O", "qcow2", "a.qcow2", "x"])
    data = bytearray(t.path("a.qcow2").read_bytes())
    data[next(row for row, name, *_ in bitmap_rows(data) if name == b"off") + 15] |= 1  # in use
    t.path("a.qcow2").write_bytes(data)
    both_ways(t, ["convert", "--bitmaps", "-O", "qcow2", "a.qcow2", "x"])
    both_ways(t, ["convert", "--bitmaps", "--skip-broken-bitmaps", "-O", "qcow2", "a.qcow2", "x"])
    both_ways(t, ["measure", "-O", "qcow2", "a.qcow2"])
    del want[b"off"]
    check(stored_bitmaps(t.path("x")) == want, "without the broken one")


def test_bitmaps_edit(t):
    image_with_bitmaps(t)
    shutil.copy(t.path("a.qcow2"), t.path("t.qcow2"))
    shutil.copy(t.path("a.qcow2"), t.path("o.qcow2"))
    for action in BITMAP_ACTIONS:
        both_ways(t, ["bitmap", *action], ("t.qcow2", "o.qcow2"))
        theirs, ours = stored_bitmaps(t.path("t.qcow2")), stored_bitmaps(t.path("o.qcow2"))
        check(theirs == ours, f"{action}: {theirs} {ours}")
        t.theirs("check", "o.qcow2")
        t.run("check", "o.qcow2")
    t.theirs("compare", "t.qcow2", "o.qcow2")
    for name in list(stored_bitmaps(t.path("o.qcow2"))):
        t.run("bitmap", "--remove", "o.qcow2", name.decode())
    check(stored_bitmaps(t.path("o.qcow2")) == {}, "all are removed")
    t.theirs("check", "o.qcow2")
    t.run("resize", "o.qcow2", "120M")


def test_compact(t):
    """What was given back or filled with zeroes leaves the file, whatever lies behind it; snapshots and the disk stay as they are."""
    size = 24 << 20
    for options in ("", "cluster_size=4k", "compat=0.10", "extended_l2=on", "refcount_bits=1", "lazy_refcounts=on"):
        t.raw("source.raw", 60, size)
        t.theirs("create", "-f", "qcow2", *options_of(options), "a.qcow2", size)
        t.run("convert", "-n", "-S", "0", "-O", "qcow2", "source.raw", "a.qcow2")
        snapshots = "refcount_bits" not in options
        if snapshots:
            t.run("snapshot", "-c", "then", "a.qcow2")
        t.io("a.qcow2", "write -P 7 20M 4M", *(f"write -z {n}M 1M" for n in range(0, 16, 2)), *(f"write -P 0 {n}M 1M" for n in range(1, 16, 2)), "discard 16M 2M")
        t.run("convert", "-O", "raw", "a.qcow2", "before.raw")
        if snapshots:
            t.run("convert", "-l", "then", "-O", "raw", "a.qcow2", "then.raw")
            t.same("then.raw", "source.raw", options)
        for program in (t.theirs, t.run):
            program("check", "a.qcow2")
        full = t.path("a.qcow2").stat().st_size
        said = t.run("compact", "a.qcow2")
        check("Image compacted: " in said, said)
        if snapshots:
            t.run("convert", "-l", "then", "-O", "raw", "a.qcow2", "then.raw")
            t.same("then.raw", "source.raw", options)
            t.theirs("check", "a.qcow2")
            t.theirs("snapshot", "-a", "then", "a.qcow2")
            t.theirs("compare", "a.qcow2", "source.raw")
            t.run("snapshot", "-d", "then", "a.qcow2")
            t.run("compact", "-q", "a.qcow2")
        else:
            t.run("compare", "a.qcow2", "before.raw")
            check(t.path("a.qcow2").stat().st_size < full - (14 << 20), f"{options}: {full} bytes before, {t.path('a.qcow2').stat().st_size} now")
        for program in (t.theirs, t.run):
            check("Leaked" not in program("check", "a.qcow2"), options)
        # Nothing is in it: only tables are left.
        t.io("a.qcow2", f"discard 0 {size}")
        t.run("compact", "-q", "a.qcow2")
        t.theirs("check", "a.qcow2")
        check(t.path("a.qcow2").stat().st_size < 3 << 20, f"{options}: an empty image has {t.path('a.qcow2').stat().st_size} bytes")
    t.theirs("create", "-f", "qcow2", "-b", "source.raw", "-F", "raw", "over.qcow2")
    t.io("over.qcow2", "write -P 1 0 8M", "write -z 1M 2M", "write -P 0 4M 3M")
    t.run("convert", "-O", "raw", "over.qcow2", "before.raw")
    t.run("compact", "over.qcow2")
    t.theirs("compare", "over.qcow2", "before.raw")
    t.theirs("check", "over.qcow2")
    check(t.path("over.qcow2").stat().st_blocks * 512 < 4 << 20, "an overlay's zeroes")
    t.path("a.raw").write_bytes(b"x" * 100000 + bytes(8 << 20) + b"y" * 1000)
    before = t.path("a.raw").read_bytes()
    t.run("compact", "-f", "raw", "a.raw")
    check(t.path("a.raw").read_bytes() == before and t.path("a.raw").stat().st_blocks * 512 < 400000, "a raw image")
    t.theirs("convert", "-O", "vdi", "a.raw", "a.vdi")
    t.run("compact", "a.vdi", ok=(1,))


def test_json_progress(t):
    """--json: lines of JSON, the last one says that all is done."""
    t.raw("source.raw", 61)
    size = t.path("source.raw").stat().st_size
    t.run("create", "-q", "-f", "qcow2", "-b", "source.raw", "-F", "raw", "over.qcow2")
    t.io("over.qcow2", "write -P 9 0 1M")
    for command in (("convert", "-O", "qcow2", "source.raw", "a.qcow2"), ("compare", "a.qcow2", "source.raw"), ("compact", "a.qcow2"),
                    ("rebase", "-b", "a.qcow2", "-F", "qcow2", "over.qcow2"), ("commit", "over.qcow2")):
        lines = [json.loads(line) for line in t.run(command[0], "--json", *command[1:]).splitlines() if line.startswith("{")]
        check(lines[0]["done"] <= lines[-1]["done"] == lines[-1]["total"] == size and lines[-1]["percent"] == 100, f"{command}: {lines}")


def strip_json(text):
    data = json.loads(text)
    for one in data if isinstance(data, list) else [data]:
        if isinstance(one, dict):
            one.pop("actual-size", None)
            for s in one.get("snapshots", []):
                s.pop("date-nsec", None)
    return data


def test_same_words(t):
    """Reports on one image, printed by both."""
    t.raw("base.raw", 60, 1 << 20)
    t.theirs("create", "-f", "qcow2", "-o", "compression_type=zstd", "-b", "base.raw", "-F", "raw", "a.qcow2", "9M")
    t.io("a.qcow2", "write -P 1 1M 2M", "write -z 4M 256k", "write -P 3 5M 512")
    t.theirs("snapshot", "-c", "one", "a.qcow2")
    os.makedirs(t.path("sub"))
    t.theirs("create", "-f", "qcow2", "-b", "../a.qcow2", "-F", "qcow2", "sub/b.qcow2")
    t.theirs("create", "-f", "qcow2", "-o", "compat=0.10,cluster_size=4k", "v2.qcow2", "1G")
    for image in ("a.qcow2", "sub/b.qcow2", "v2.qcow2", "base.raw"):
        for args in (["info"], ["info", "--backing-chain"], ["map"], ["measure", "-O", "qcow2"], ["measure", "-O", "raw"],
                     ["snapshot", "-l"], ["check"]):
            ok = (63,) if image == "base.raw" and args == ["check"] else (0,)
            ours, theirs = t.run(*args, image, ok=ok), t.theirs(*args, image, ok=ok)
            check(ours == theirs, f"{args} {image}:\n{ours}---\n{theirs}")
        for args in (["info"], ["info", "--backing-chain"], ["map"], ["measure", "-O", "qcow2"], ["check"]):
            ok = (63,) if image == "base.raw" and args == ["check"] else (0,)
            if ok == (63,):
                continue
            ours, theirs = t.run(*args, "--output=json", image), t.theirs(*args, "--output=json", image)
            check(strip_json(ours) == strip_json(theirs), f"{args} {image}:\n{ours}---\n{theirs}")


def test_errors(t):
    """Statuses of wrong command lines are theirs."""
    t.theirs("create", "-f", "qcow2", "a.qcow2", "1M")
    t.theirs("create", "-f", "raw", "r.img", "1M")
    for args in ([], ["nosuch"], ["info"], ["info", "-z", "a.qcow2"], ["info", "none"], ["check", "none"], ["create"],
                 ["create", "-f", "qcow2", "x"], ["create", "-f", "nosuch", "x", "1M"], ["create", "x", "1q"],
                 ["create", "-f", "qcow2", "-o", "cluster_size=3k", "x", "1M"], ["create", "-f", "qcow2", "-o", "nosuch=1", "x", "1M"],
                 ["create", "-f", "qcow2", "-b", "a.qcow2", "x"], ["convert", "a.qcow2"], ["convert", "-O", "nosuch", "a.qcow2", "x"],
                 ["convert", "-c", "-O", "raw", "a.qcow2", "x"], ["compare", "a.qcow2"], ["compare", "a.qcow2", "none"],
                 ["compare", "a.qcow2", "r.img"], ["resize", "a.qcow2"], ["resize", "a.qcow2", "1k"], ["snapshot", "-d", "none", "a.qcow2"],
                 ["snapshot", "-a", "none", "a.qcow2"], ["commit", "a.qcow2"], ["rebase", "a.qcow2"],
                 ["rebase", "-b", "none", "-F", "raw", "a.qcow2"], ["map", "none"], ["measure"], ["dd", "if=a.qcow2"],
                 ["dd", "if=a.qcow2", "of=x", "bs=0"]):
        command = ["qemu-img", *args]
        theirs = subprocess.run(command, cwd=t.dir, capture_output=True, timeout=60).returncode
        ours = subprocess.run([t.program, "img", *args], cwd=t.dir, capture_output=True, timeout=60)
        check(ours.returncode == theirs, f"{args}: {ours.returncode}, theirs {theirs}: {ours.stderr}")
        check(theirs == 0 or args[:1] == ["compare"] or ours.stderr.strip(), f"{args}: says nothing")


def test_image_opts(t):
    """--image-opts and the sizes of caches, their errors in qemu-img's words."""
    t.theirs("create", "-q", "-f", "qcow2", "a.qcow2", "1T")
    t.theirs("create", "-q", "-f", "raw", "r.img", "1M")
    a = "driver=qcow2,file.filename=a.qcow2"
    for opts in (f"{a},cache-size=1M,l2-cache-size=2M", f"{a},cache-size=1M,l2-cache-size=1k,refcount-cache-size=1k",
                 f"{a},cache-size=1M,refcount-cache-size=2M", f"{a},l2-cache-entry-size=1000", f"{a},cache-clean-interval=5000000000",
                 f"{a},cache-size=4194304T", "driver=raw,file.filename=r.img,cache-size=1M", "driver=raw,file.filename=r.img,cache-clean-interval=1"):
        said = [subprocess.run([*program, "info", "--image-opts", opts], cwd=t.dir, capture_output=True, text=True) for program in (["qemu-img"], [t.program, "img"])]
        words = said[0].stderr.strip().split("': ", 1)[1]
        check(said[0].returncode == said[1].returncode == 1 and words in said[1].stderr, f"{opts}: {said[1].stderr} theirs: {words}")
    check(t.run("info", "--image-opts", f"{a},cache-size=0") == t.theirs("info", "--image-opts", f"{a},cache-size=0"), "info")
    for wrong in (f"{a},nosuch=1", "driver=qcow2", f"{a},l2-cache-size=x", "driver=nosuch,file.filename=a.qcow2"):
        t.run("info", "--image-opts", wrong, ok=(1,))
    t.run("info", "-f", "qcow2", "--image-opts", a, ok=(1,))
    # Written through caches that hold nearly nothing.
    tiny = f"{a},l2-cache-size=0,refcount-cache-size=0,l2-cache-entry-size=512,cache-clean-interval=1"
    writes = [x for i in range(60) for x in ("-c", f"write -P {i + 1} {i * 17}G 64k")]
    t.run("io", "--image-opts", *writes, tiny)
    t.run("io", "-c", "open -o l2-cache-size=64k,cache-clean-interval=0 a.qcow2", "-c", "write -P 99 3G 64k", "-c", "reopen -o cache-size=1M", "-c", "read -P 99 3G 64k")
    t.run("io", "-c", "open -o nosuch=1 a.qcow2", ok=(1,))
    t.io("a.qcow2", *[f"read -P {i + 1} {i * 17}G 64k" for i in range(60)], "read -P 99 3G 64k")
    t.theirs("check", "a.qcow2")
    t.run("convert", "--image-opts", "-O", "qcow2", tiny, "b.qcow2")
    t.theirs("compare", "a.qcow2", "b.qcow2")
    t.run("compare", "--image-opts", tiny, "file.filename=b.qcow2")


def test_by_name(t):
    """The same program, called qemu-img."""
    t.path("qemu-img").symlink_to(t.program)
    me = t.path("qemu-img")
    check(re.match(r"qemu-img version \d+\.\d+\.\d+ \(Doppel", t.run("--version", program=me)), "version")
    out = t.run("create", "-f", "qcow2", "a.qcow2", "1M", program=me)
    check(out == t.theirs("create", "-f", "qcow2", "a.qcow2", "1M"), out)
    out = t.run("convert", "-p", "-O", "qcow2", "a.qcow2", "b.qcow2", program=me)
    check("(100.00/100%)" in out, out)
    p = subprocess.run([me, "info", "none"], cwd=t.dir, capture_output=True, text=True)
    check(p.returncode == 1 and p.stderr == "qemu-img: Could not open 'none': Could not open 'none': No such file or directory\n", p.stderr)


def test_locks(t):
    t.run("create", "-f", "qcow2", "a.qcow2", "1M")
    p = subprocess.Popen(["qemu-io", "a.qcow2"], cwd=t.dir, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        p.stdin.write(b"write 0 512\n")
        p.stdin.flush()
        p.stdout.readline()
        t.run("resize", "a.qcow2", "2M", ok=(1,))
        t.run("info", "-U", "a.qcow2")
    finally:
        p.communicate(b"quit\n", timeout=20)
    t.run("resize", "a.qcow2", "2M")


def test_dd(t):
    t.raw("source.raw", 70, 1 << 20)
    for args in (["bs=512", "count=3"], ["bs=1M"], ["skip=5"], ["bs=64k", "skip=2", "count=100"]):
        t.run("dd", "-f", "raw", "if=source.raw", "of=o.raw", *args)
        t.theirs("dd", "-f", "raw", "if=source.raw", "of=t.raw", *args)
        t.same("o.raw", "t.raw", str(args))
    t.run("dd", "-f", "raw", "-O", "qcow2", "if=source.raw", "of=o.qcow2")
    t.theirs("compare", "o.qcow2", "source.raw")


IO_COMMANDS = ["write 0 64k", "write -P 0x11 64k 512", "read -P 0x11 64k 512", "read -P 0x12 64k 512", "read -v 64k 32", "write -q 0 512", "write 1 512",
               "write 4M 512", "write 0", "write foo 1", "nope", "length", "alloc 0 128k", "alloc 1M", "map", "truncate 8M", "discard 0 64k",
               "flush", "aio_write 0 4k", "aio_read -P 1 0 4k", "aio_flush", "writev 0 512 1k", "readv 0 512 512", "info", "write -z 0 64k",
               "write -z -u 0 64k", "write -c 1M 64k", "sleep 10", "quit", "open", "open io.qcow2", "close", "write -z -P 3 0 1", "read 0 0",
               "write -P 300 0 512", "read -s 0 -l 512 -P 0 0 512", "write -n 0 512", "write -f 0 512", "reopen -r",
               "read -P 0xcd -s 512 -l 1k 0 4k", "sigraise 15", "map"]


def test_io(t):
    """qemu-io's commands, with its words and statuses."""
    t.path("qemu-io").symlink_to(t.program)

    def strip(text):
        return re.sub(r"[\d.]+ sec \(.*\)", "TIME", text)

    for program, image in (("qemu-io", "t.qcow2"), (t.path("qemu-io"), "o.qcow2")):
        t.theirs("create", "-f", "qcow2", image, "4M")
    for command in IO_COMMANDS:
        results = []
        for program, image in (("qemu-io", "t.qcow2"), (t.path("qemu-io"), "o.qcow2")):
            p = subprocess.run([program, "-c", command, image], cwd=t.dir, capture_output=True, text=True, timeout=30)
            results.append((p.returncode, strip(p.stdout), p.stderr))
        check(results[0] == results[1], f"{command}: theirs {results[0]}, ours {results[1]}")
    t.run("compare", "t.qcow2", "o.qcow2")
    t.theirs("check", "o.qcow2")
    both = []
    for program in ("qemu-io", t.path("qemu-io")):
        p = subprocess.run([program, "o.qcow2"], cwd=t.dir, capture_output=True, text=True, timeout=30, input="read -P 0xcd 64k 512\nread 0 1k\nlength\nq\n")
        both.append((p.returncode, strip(p.stdout)))
    check(both[0] == both[1], f"{both}")
    for args, ok in ((["-r", "-c", "write 0 512", "o.qcow2"], 1), (["-c", "read 0 512", "none"], 1), (["-s", "-c", "write -P 9 0 64k", "o.qcow2"], 0)):
        t.run(*args, program=t.path("qemu-io"), ok=(ok,))
    t.run("compare", "t.qcow2", "o.qcow2")


def test_chain_of_itself(t):
    t.run("create", "-f", "qcow2", "a.qcow2", "1M")
    t.run("rebase", "-u", "-b", "a.qcow2", "-F", "qcow2", "a.qcow2")
    t.run("info", "a.qcow2")
    p = subprocess.run([t.program, "img", "map", "a.qcow2"], cwd=t.dir, capture_output=True, timeout=60)
    check(p.returncode == 1 and b"chain of backing images" in p.stderr, p.stderr)


def main():
    words, passed, failed = sys.argv[2:], 0, 0
    for name, test in sorted(globals().items()):
        if not name.startswith("test_") or (words and not any(w in name for w in words)):
            continue
        t = Tester(sys.argv[1])
        try:
            test(t)
            passed += 1
            print(f"ok    img/{name[5:]}", flush=True)
        except (Failure, subprocess.SubprocessError, OSError, ValueError, KeyError) as e:
            failed += 1
            print(f"FAIL  img/{name[5:]}", flush=True)
            text = str(e) if isinstance(e, Failure) else traceback.format_exc()
            print("\n".join("      " + line for line in text.splitlines()[:30]), flush=True)
        finally:
            shutil.rmtree(t.dir, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
