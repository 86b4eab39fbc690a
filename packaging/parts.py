"""What a program is made of: everything that is linked into it.

Not cargo-cyclonedx: it lists for disk-builder what only disk-mounter links, and macros, which no
program contains; leaves out the C library; and writes where on this machine the sources lie.
"""

import json
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Part:
    """A crate or a library.

    `texts` are the files with its licence and its authors' notices; `needs` are the keys of the
    parts that it uses itself.
    """

    name: str
    version: str
    license: str
    purl: str
    sha256: str | None = None
    texts: list[Path] = field(default_factory=list)
    needs: set = field(default_factory=set)

    @property
    def own(self):
        """Whether it is of this project: it comes from no registry."""
        return self.purl.startswith("pkg:cargo/") and not self.sha256


def output(*command):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return done.stdout


def crates(program, target):
    """The crates in a program, by name and version; the first is the program's own.

    As `cargo build --package PROGRAM` links them: macros, build scripts and what only tests use
    are not in the program.
    """
    lines = output(
        "cargo", "tree", "--locked", "--package", program, "--target", target,
        "--edges", "normal,no-proc-macro", "--no-dedupe", "--prefix", "depth",
        "--format", " {p}|{l}",
    )
    with open(ROOT / "Cargo.lock", "rb") as file:
        locked = {(p["name"], p["version"]): p for p in tomllib.load(file)["package"]}
    metadata = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1"))
    folders = {
        (p["name"], p["version"]): Path(p["manifest_path"]).parent for p in metadata["packages"]
    }
    parts = {}
    above = []
    for line in lines.splitlines():
        depth, crate, version, license = split_tree_line(line)
        key = (crate, version)
        if key not in parts:
            parts[key] = Part(
                name=crate,
                version=version,
                # As crates wrote it before SPDX had expressions.
                license=license.replace("/", " OR "),
                purl=f"pkg:cargo/{crate}@{version}",
                sha256=locked[key].get("checksum"),
                texts=texts(folders[key]),
            )
        del above[depth:]
        if above:
            parts[above[-1]].needs.add(key)
        above.append(key)
    return parts


def texts(folder):
    """The files of a crate with licences and notices."""
    words = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")
    found = [path for path in folder.iterdir() if path.name.upper().startswith(words)]
    return sorted(path for path in found if path.is_file())


def split_tree_line(line):
    """`1 nix v0.31.4|MIT` as depth, name, version and licence."""
    head, license = line.split("|")
    depth, name, version = head.split()[:3]
    return int(depth), name, version.removeprefix("v"), license


def libraries():
    """What else is linked into every program, whatever crates it has."""
    rust = output("rustc", "--version").split()[1]
    standard = Part("std", rust, "MIT OR Apache-2.0", f"pkg:generic/rust-std@{rust}")
    found = [standard]
    for archive, license in [
        ("libc.a", "LGPL-2.1-or-later"),
        ("libgcc_eh.a", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ]:
        path = Path(output("gcc", f"-print-file-name={archive}").strip()).resolve()
        package = output("dpkg", "--search", str(path)).split(":")[0]
        shown = "${source:Package} ${source:Version}"
        source, version = output("dpkg-query", "--show", "--showformat", shown, package).split()
        purl = f"pkg:deb/debian/{source}@{version}?arch=source"
        notices = [Path(f"/usr/share/doc/{package}/copyright")]
        found.append(Part(source, version, license, purl, texts=notices))
    return {(part.name, part.version): part for part in found}
