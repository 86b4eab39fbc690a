"""What every test has that runs disk-builder with a server: the program, and a folder."""

import os
import tempfile
import unittest
from pathlib import Path

BUILDER = Path(os.environ["DISK_BUILDER"]).resolve()


class FolderTest(unittest.TestCase):
    """A folder for the tests of a class, which goes with the last of them."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="hub-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
