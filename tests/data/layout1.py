#!/usr/bin/env python3
"""Makes layout1.json: the root hashes of small models on disks of layout 1.

Written from docs/layout.md alone, so that it checks disk-builder's own writer. The file that it
made is never made again: layout 1 does not change. Run it to compare: it prints the same.

A model is a list of files. Byte i of file number n (from 0) is
(7 * i + i // 251 + 13 * n + 1) % 256, or zero where the file is of zeros.
"""

import hashlib
import json
import struct

BLOCK = 4096
ZERO = bytes(BLOCK)


def blocks_of(size):
    return -(-size // BLOCK)


def content(number, file):
    """The file's blocks; None stands for one of zeros."""
    size = file["bytes"]
    if file.get("zeros"):
        for _ in range(blocks_of(size)):
            yield None
        return
    data = bytes((7 * i + i // 251 + 13 * number + 1) % 256 for i in range(size))
    for start in range(0, size, BLOCK):
        yield data[start : start + BLOCK].ljust(BLOCK, b"\0")


def path_of(file):
    return bytes.fromhex(file["path_hex"]) if "path_hex" in file else file["path"].encode()


def uuid8(text):
    raw = bytearray(hashlib.sha256(text).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


class Node:
    def __init__(self, parent, file=None):
        self.parent = parent or self
        self.file = file
        self.children = {}

    def walk(self):
        yield self
        for name in sorted(self.children):
            yield from self.children[name].walk()


def directory_data(entries):
    """Blocks of (name, inode number, type)."""
    groups, used = [[]], 0
    for entry in entries:
        size = 12 + len(entry[0])
        if used + size > BLOCK:
            groups.append([])
            used = 0
        groups[-1].append(entry)
        used += size
    out = []
    for group in groups:
        heads, names = b"", b""
        for name, nid, kind in group:
            heads += struct.pack("<QHBB", nid, 12 * len(group) + len(names), kind, 0)
            names += name
        out.append(heads + names)
    return b"".join(block.ljust(BLOCK, b"\0") for block in out[:-1]) + out[-1]


def image(files):
    """The blocks of the EROFS image."""
    root = Node(None)
    for number, file in enumerate(files):
        node = root
        *directories, name = path_of(file).split(b"/")
        for directory in directories:
            node = node.children.setdefault(directory, Node(node))
        node.children[name] = Node(node, (number, file))
    nodes = list(root.walk())

    def entries(node, nid):
        all_entries = [(b".", node), (b"..", node.parent), *node.children.items()]
        return [(name, nid(n), 1 if n.file else 2) for name, n in sorted(all_entries, key=lambda e: e[0])]

    address = 1152
    for node in nodes:
        if node.file:
            node.size, node.links = node.file[1]["bytes"], 1
        else:
            node.size = len(directory_data(entries(node, lambda n: 0)))
            node.links = 2 + sum(1 for child in node.children.values() if not child.file)
        node.extended = node.size > 2**32 - 1 or node.links > 65535
        length = 64 if node.extended else 32
        address = -(-address // length) * length
        node.address = address
        address += length
    block = blocks_of(address)
    for wants_file in (False, True):
        for node in nodes:
            if bool(node.file) == wants_file:
                node.start = block if node.size else 0
                block += blocks_of(node.size)

    metadata = bytearray(blocks_of(address) * BLOCK)
    for ino, node in enumerate(nodes, 1):
        mode = 0o100644 if node.file else 0o040755
        if node.extended:
            inode = struct.pack("<HHHHQIIIIQII16x", 1, 0, mode, 0, node.size, node.start, ino, 0, 0, 0, 0, node.links)
        else:
            inode = struct.pack("<HHHHIIIIHHI", 0, 0, mode, node.links, node.size, 0, node.start, ino, 0, 0, 0)
        metadata[node.address : node.address + len(inode)] = inode

    ordered = [node.file[1] for node in nodes if node.file]
    text = b"disk-mounter erofs uuid v1\0"
    for file in ordered:
        text += struct.pack("<Q", len(path_of(file))) + path_of(file) + struct.pack("<Q", file["bytes"])

    def superblock(checksum):
        return struct.pack(
            "<IIIBBHQQIIII16s16sI44x",
            0xE0F5E1E2, checksum, 1, 12, 0, 36, len(nodes), 0, 0, block, 0, 0, uuid8(text), b"", 0,
        )

    metadata[1024:1152] = superblock(0)
    metadata[1024:1152] = superblock(crc32c(metadata[1024:BLOCK]))

    for start in range(0, len(metadata), BLOCK):
        yield bytes(metadata[start : start + BLOCK])
    for node in nodes:
        if not node.file:
            data = directory_data(entries(node, lambda n: n.address // 32))
            for start in range(0, len(data), BLOCK):
                yield data[start : start + BLOCK].ljust(BLOCK, b"\0")
    for node in nodes:
        if node.file:
            yield from content(*node.file)


def root_hash(files):
    blocks = list(image(files))
    name = b"sha256".ljust(32, b"\0")
    salt = hashlib.sha256(
        b"disk-mounter geometry v1\0" + struct.pack("<IIIQ", 1, BLOCK, BLOCK, len(blocks)) + name
    ).digest()

    def digest(block):
        return hashlib.sha256(salt + block).digest()

    zero = digest(ZERO)
    digests = [zero if block is None else digest(block) for block in blocks]
    while len(digests) > 1:
        level = (b"".join(digests[i : i + 128]).ljust(BLOCK, b"\0") for i in range(0, len(digests), 128))
        digests = [digest(block) for block in level]
    return digests[0].hex()


def files(*sizes):
    return [{"path": path, "bytes": size} for path, size in sizes]


MODELS = {
    "one empty file": files(("empty", 0)),
    "one byte": files(("model.safetensors", 1)),
    "one byte less than a block": files(("model.safetensors", 4095)),
    "one block": files(("model.safetensors", 4096)),
    "one byte more than a block": files(("model.safetensors", 4097)),
    "a model": files(
        ("config.json", 612),
        ("model.safetensors", 1_000_000),
        ("1_Pooling/config.json", 190),
        ("empty", 0),
        ("tokenizer.json", 46_624),
    ),
    "names around the dot and the slash": files(
        ("a/z", 1), ("a.b", 2), ("a-", 3), ("a!/x", 4), ("-", 5), ("!", 6), ("B", 7), ("a/.x/y", 8)
    ),
    "names that are not UTF-8": [
        {"path_hex": "ff", "bytes": 10},
        {"path_hex": "c3a4", "bytes": 11},
        {"path_hex": "61cc88", "bytes": 12},
        {"path_hex": "fe2f0aff", "bytes": 13},
    ],
    "long names, directories of several blocks": files(
        *((f"d/{n:03}" + "n" * 252, n) for n in range(40)), ("e/" + "m" * 255, 5000)
    ),
    "thirty levels": files(("/".join(f"level-{n}" for n in range(30)) + "/f", 100), ("level-0/g", 1)),
    "more inodes than a block holds": files(*((f"{n % 7}/{n}", n % 3) for n in range(600))),
    "a tree of three levels": [
        {"path": "large", "bytes": 70 << 20, "zeros": True},
        {"path": "small", "bytes": 5000},
    ],
    "an extended inode": [
        {"path": "a", "bytes": 3},
        {"path": "b", "bytes": (4 << 30) + 1, "zeros": True},
        {"path": "c", "bytes": 5},
    ],
}

if __name__ == "__main__":
    models = [{"name": name, "files": list_, "root_hash": root_hash(list_)} for name, list_ in MODELS.items()]
    print(json.dumps(models, indent=1))
