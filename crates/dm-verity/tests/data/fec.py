#!/usr/bin/env python3
"""Makes fec.tsv: what `veritysetup` (cryptsetup 2.6.1) writes to an FEC device.

Byte i of the data is (7 * i + i // 251 + 1) % 256, and the salt is the bytes 00 to 1f. After the
tree, the hash device has `extra` blocks, of which byte i is (11 * i + 5) % 256: veritysetup covers
them as well. Run it to compare: it prints the same.
"""

import hashlib
import pathlib
import subprocess
import tempfile

SALT = bytes(range(32)).hex()

# Data blocks, block size, roots, extra blocks of the hash device.
CASES = [
    (1, 4096, 2, 0),
    (2, 4096, 2, 0),
    (128, 4096, 2, 0),
    (129, 4096, 3, 0),
    # 253 blocks with the tree, which are one row, and one more.
    (250, 4096, 2, 0),
    (251, 4096, 2, 0),
    (228, 4096, 24, 0),
    (229, 4096, 24, 0),
    (600, 4096, 24, 0),
    (300, 4096, 2, 9),
    (100, 1024, 5, 0),
    (1000, 1024, 8, 0),
    (20, 16384, 2, 0),
    (3, 65536, 4, 0),
    (1, 512, 2, 0),
    (1, 512, 2, 400),
    # Three levels and more.
    (5000, 512, 2, 0),
] + [(700, 512, roots, roots % 3) for roots in range(2, 25)]


def area(folder, blocks, size, roots, extra):
    data, tree, fec = (folder / name for name in ("data", "tree", "fec"))
    for path in (tree, fec):
        path.unlink(missing_ok=True)
    data.write_bytes(bytes((7 * i + i // 251 + 1) % 256 for i in range(blocks * size)))

    def format(fec):
        command = ["veritysetup", "format", data, tree, "--fec-device", fec]
        command += ["--fec-roots", str(roots), "--salt", SALT, "--no-superblock"]
        command += [f"--{kind}-block-size={size}" for kind in ("data", "hash")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    format(fec)
    if extra:
        with tree.open("ab") as file:
            file.write(bytes((11 * i + 5) % 256 for i in range(extra * size)))
        fec.unlink()
        format(fec)
    return fec.read_bytes()


with tempfile.TemporaryDirectory() as folder:
    print("data_blocks\tblock_size\troots\textra\tbytes\tfirst\tsha256")
    for case in CASES:
        parity = area(pathlib.Path(folder), *case)
        fields = [*case, len(parity), parity[:24].hex(), hashlib.sha256(parity).hexdigest()]
        print(*fields, sep="\t")
