"""What is published of a release: that it is whole, and the same wherever it is made."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from place import (
    GIT, PROGRAMS, RELEASE, SOURCE, TARGET, XTASK, PlaceTest, commit, epoch, files, make, run,
)
from test_install import INSTALLED

CARGO_HOME = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
RUSTUP_HOME = Path(os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def dist(folder, *options, **environment):
    """Makes a release of the programs that are built."""
    run(XTASK, "dist", folder, RELEASE, TARGET, *PROGRAMS, *options, **environment)


def new_key(path):
    """A key of SSH for this test alone."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path)
    return path


class Dist(PlaceTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.dist = cls.folder / "dist"
        cls.key = new_key(cls.folder / "key")
        # So that what is changed can be tested before it is committed.
        cls.sources = os.environ | {"SOURCE_COMMIT": commit()}
        dist(cls.dist, "--sign-key", cls.key, env=cls.sources)
        cls.version = run(RELEASE / "disk-mounter", "--version").split()[1]

    def bill(self, name):
        return self.dist / f"{name}-{self.version}-{TARGET}.cdx.json"

    def test_every_file_has_its_checksum(self):
        sums = (self.dist / "SHA256SUMS").read_text().splitlines()
        listed = {line[66:]: line[:64] for line in sums}
        found = {path: digest(self.dist / path) for path in files(self.dist)}
        del found["SHA256SUMS"], found["SHA256SUMS.sig"]
        self.assertEqual(listed, found)
        self.assertEqual(len(found), 6)

    def test_provenance_says_what_was_made_from_what(self):
        name = f"disk-mounter-{self.version}-{TARGET}.provenance.json"
        statement = json.loads((self.dist / name).read_text())
        self.assertEqual(statement["_type"], "https://in-toto.io/Statement/v1")
        self.assertEqual(statement["predicateType"], "https://slsa.dev/provenance/v1")
        subjects = {entry["name"]: entry["digest"]["sha256"] for entry in statement["subject"]}
        made = files(self.dist).keys() - {name, "SHA256SUMS", "SHA256SUMS.sig"}
        self.assertEqual(subjects, {path: digest(self.dist / path) for path in made})
        definition = statement["predicate"]["buildDefinition"]
        self.assertEqual(definition["externalParameters"], {"command": "make dist", "target": TARGET})
        self.assertEqual(definition["internalParameters"], {"SOURCE_DATE_EPOCH": epoch()})
        used = {entry["name"]: entry for entry in definition["resolvedDependencies"]}
        self.assertEqual(used["sources"]["digest"], {"gitCommit": commit()})
        self.assertEqual(used["Cargo.lock"]["digest"], {"sha256": digest(SOURCE / "Cargo.lock")})
        compiler = run("rustc", "--version").strip()
        self.assertEqual(used["std"]["annotations"], {"compiler": compiler})
        self.assertTrue(used["glibc"]["uri"].startswith("pkg:deb/debian/glibc@"))
        builder = statement["predicate"]["runDetails"]["builder"]
        self.assertEqual(builder, {"id": "urn:disk-mounter:builder:unnamed"})

    def verified(self, folder, key):
        """Whether a release is what docs/packaging.md tells to check, with a signer's key."""
        document = (SOURCE / "docs/packaging.md").read_text()
        (lines,) = re.findall(r"```sh elsewhere\n(ssh-keygen -Y verify.*?)```", document, re.DOTALL)
        signer = "releases " + key.with_suffix(".pub").read_text()
        (folder / "allowed_signers").write_text(signer)
        done = subprocess.run(["sh", "-eu", "-c", lines], cwd=folder, capture_output=True, text=True)
        return done.returncode == 0

    def test_a_signed_release_is_verified_and_no_other(self):
        release = self.folder / "release"
        shutil.copytree(self.dist, release)
        self.assertTrue(self.verified(release, self.key))
        self.assertFalse(self.verified(release, new_key(self.folder / "other")))
        for name in files(self.dist):
            content = (self.dist / name).read_bytes()
            middle = len(content) // 2
            changed = bytes([content[middle] ^ 1])
            (release / name).write_bytes(content[:middle] + changed + content[middle + 1 :])
            self.assertFalse(self.verified(release, self.key), name)
            (release / name).write_bytes(content)
        self.assertTrue(self.verified(release, self.key))
        # A signature for something else.
        (release / "SHA256SUMS.sig").unlink()
        run("ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", self.key, release / "SHA256SUMS")
        self.assertFalse(self.verified(release, self.key))

    def test_without_a_key_there_is_no_signature(self):
        release = self.folder / "unsigned"
        release.mkdir()
        (release / "SHA256SUMS.sig").write_text("of an earlier release")
        dist(release, "--builder", "https://ci.example/1", env=self.sources)
        self.assertFalse((release / "SHA256SUMS.sig").exists())
        (provenance,) = release.glob("*.provenance.json")
        run = json.loads(provenance.read_text())["predicate"]["runDetails"]
        self.assertEqual(run["builder"]["id"], "https://ci.example/1")

    def test_archive(self):
        top = f"disk-mounter-{self.version}-{TARGET}"
        with tarfile.open(self.dist / f"{top}.tar.gz") as archive:
            members = archive.getmembers()
            found = {
                member.name.removeprefix(f"{top}/"): member.mode
                for member in members
                if member.isfile()
            }
            for name in ["disk-mounter", "disk-builder"]:
                program = archive.extractfile(f"{top}/bin/{name}").read()
                self.assertEqual(program, (RELEASE / name).read_bytes())
        more = ["CHANGELOG.md", "LICENSE", "README.md", "THIRD-PARTY-NOTICES"]
        self.assertEqual(found, INSTALLED | dict.fromkeys(more, 0o644))
        names = [member.name for member in members]
        self.assertEqual(names, sorted(names, key=lambda name: name.split("/")))
        time = int(epoch())
        for member in members:
            self.assertEqual((member.uid, member.gid, member.mtime), (0, 0, time))

    def test_bills_of_materials_are_valid(self):
        validator = JsonStrictValidator(SchemaVersion.V1_5)
        for name in PROGRAMS:
            text = self.bill(name).read_text()
            self.assertIsNone(validator.validate_str(text))
            # It does find faults.
            self.assertIsNotNone(validator.validate_str(text.replace("SHA-256", "SHA-0")))

    def test_bills_of_materials_say_what_is_linked(self):
        lock = tomllib.loads((SOURCE / "Cargo.lock").read_text())["package"]
        locked = {(crate["name"], crate["version"]): crate.get("checksum") for crate in lock}
        found = {}
        for name in PROGRAMS:
            bill = json.loads(self.bill(name).read_text())
            program = bill["metadata"]["component"]
            self.assertEqual((program["name"], program["version"]), (name, self.version))
            self.assertEqual(program["hashes"][0]["content"], digest(RELEASE / name))
            self.assertNotIn(str(SOURCE), json.dumps(bill))
            for part in bill["components"]:
                self.assertTrue(part["licenses"][0]["expression"], part)
                if part["purl"].startswith("pkg:cargo/"):
                    checksum = locked[part["name"], part["version"]]
                    hashes = [entry["content"] for entry in part.get("hashes", [])]
                    self.assertEqual(hashes, [checksum] if checksum else [], part)
            found[name] = {part["name"] for part in bill["components"]}
            # Whatever is listed is needed by something, from the program on.
            needs = {entry["ref"]: entry["dependsOn"] for entry in bill["dependencies"]}
            reached, ahead = set(), [program["bom-ref"]]
            while ahead:
                reference = ahead.pop()
                if reference not in reached:
                    reached.add(reference)
                    ahead += needs[reference]
            listed = {part["bom-ref"] for part in bill["components"]} | {program["bom-ref"]}
            self.assertEqual(reached, listed)

        for name, parts in found.items():
            self.assertLessEqual({"std", "glibc", "sha2", "clap_builder", "libc"}, parts)
            # Macros, build scripts, and what only tests use.
            for other in ["clap_derive", "syn", "bindgen", "proptest", "cfg_aliases"]:
                self.assertNotIn(other, parts, name)
        self.assertIn("devicemapper", found["disk-mounter"])
        self.assertNotIn("devicemapper", found["disk-builder"])
        self.assertNotIn("clap_mangen", found["disk-mounter"])
        self.assertIn("clap_mangen", found["disk-builder"])

    def test_the_same_from_another_folder(self):
        """Built from nothing, from a copy of the sources at another path, by another user."""
        # Not in this test's own folder: Cargo's flags cannot hold a path with a space.
        folder = tempfile.TemporaryDirectory(prefix="dist-test-")
        self.addCleanup(folder.cleanup)
        copy, home = Path(folder.name, "sources"), Path(folder.name, "home")
        copy_sources(copy)
        # Crates are not fetched again, but lie elsewhere.
        (home / "cargo").mkdir(parents=True)
        for name in ["registry", "git", "config", "config.toml"]:
            if (CARGO_HOME / name).exists():
                (home / "cargo" / name).symlink_to(CARGO_HOME / name)
        make(
            "dist",
            cwd=copy,
            HOME=str(home),
            CARGO_HOME=str(home / "cargo"),
            RUSTUP_HOME=str(RUSTUP_HOME),
            SIGN_KEY=str(self.key),
            SOURCE_COMMIT=commit(),
            SOURCE_DATE_EPOCH=epoch(),
            TZ="Asia/Kathmandu",
            LC_ALL="C.UTF-8",
        )
        again = copy / "target/dist"
        self.assertEqual(list(files(again)), list(files(self.dist)))
        for path in files(self.dist):
            self.assertEqual(digest(again / path), digest(self.dist / path), path)


def copy_sources(folder):
    """Copies the sources as they are, committed or not."""
    listed = run(*GIT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for path in filter(None, listed.split("\0")):
        # One that is deleted is listed until that is staged.
        if (SOURCE / path).exists():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / path, folder / path)
