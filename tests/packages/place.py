"""What the tests of packages share."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

RELEASE = Path(os.environ["RELEASE"]).resolve()
TARGET = os.environ["TARGET"]
XTASK = RELEASE / "xtask"
PROGRAMS = ["disk-mounter", "disk-builder"]
# All paths in the tests start here.
SOURCE = Path(__file__).resolve().parents[2]
GIT = ["git", "-c", f"safe.directory={SOURCE}"]


def run(*command, **options):
    """Runs a command, which must succeed, and gives what it prints."""
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=options.pop("cwd", SOURCE),
        **options,
    )
    if done.returncode:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def install(root, *programs, **environment):
    """Installs programs under a folder, as a user with a strict umask would."""
    run(
        XTASK, "install", root, RELEASE, *(programs or PROGRAMS),
        env=os.environ | environment, umask=0o077,
    )


def epoch():
    """The time that everything bears, in seconds since 1970."""
    return os.environ.get("SOURCE_DATE_EPOCH") or run(*GIT, "log", "-1", "--format=%ct").strip()


def commit():
    """The commit of the sources, whether or not they have changed since."""
    return os.environ.get("SOURCE_COMMIT") or run(*GIT, "rev-parse", "HEAD").strip()


def make(target, *variables, cwd=SOURCE, **environment):
    """Runs make as from a shell of somebody with a strict umask, whatever runs these tests."""
    ours = ("MAKE", "MFLAGS", "RUSTFLAGS", "CARGO_BUILD_TARGET", "RELEASE", "TARGET", "PYTHON")
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return run("make", target, *variables, cwd=cwd, env=theirs | environment, umask=0o077)


def files(root):
    """The files under a folder, by path, with their modes."""
    return {
        str(path.relative_to(root)): path.stat().st_mode & 0o7777
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


class PlaceTest(unittest.TestCase):
    """A test case with a folder of its own."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="package test ")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
