"""The archives of the images, as containerd takes them in for a kubelet."""

import os
import subprocess
import tempfile
import time
import unittest

from rootfs import Image
from test_image import build

PROGRAMS = [os.environ["DISK_MOUNTER"], os.environ["DISK_BUILDER"]]
# Long enough for a machine that is busy with much else.
PATIENCE = 60
# Nothing outside of the folder is touched, and no network is needed.
CONFIGURATION = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
  address = "{folder}/socket"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"
"""


class Containerd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="containerd-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        with open(f"{cls.folder}/config.toml", "w") as file:
            file.write(CONFIGURATION.format(folder=cls.folder))
        cls.log = open(f"{cls.folder}/log", "w+")
        cls.addClassCleanup(cls.log.close)
        daemon = subprocess.Popen(
            ["containerd", "--config", f"{cls.folder}/config.toml"], stderr=cls.log
        )
        cls.addClassCleanup(daemon.wait)
        cls.addClassCleanup(daemon.terminate)
        cls.until(lambda: cls.ctr("version", check=False).returncode == 0, "containerd answers")

    @classmethod
    def until(cls, happened, what):
        """Waits for something."""
        end = time.monotonic() + PATIENCE
        while not happened():
            if time.monotonic() > end:
                with open(f"{cls.folder}/log") as log:
                    raise AssertionError(f"not in {PATIENCE} s: {what}\n{log.read()}")
            time.sleep(0.1)

    @classmethod
    def ctr(cls, *arguments, check=True):
        """What `ctr` prints of the images of a kubelet."""
        command = ["ctr", "--address", f"{cls.folder}/socket", "--namespace", "k8s.io", *arguments]
        return subprocess.run(command, check=check, capture_output=True, text=True)

    def images(self):
        """The names that are known."""
        return self.ctr("images", "list", "--quiet").stdout.split()

    def test_an_archive_is_an_image_for_a_kubelet(self):
        for program in PROGRAMS:
            name = os.path.basename(program)
            _, archive = build(f"{self.folder}/images", program)
            image = Image(archive)
            version = image.config["config"]["Labels"]["org.opencontainers.image.version"]
            # What `image: disk-mounter:0.1.0` in a pod means.
            full = f"docker.io/library/{name}:{version}"
            self.assertNotIn(full, self.images())
            self.ctr("images", "import", "--snapshotter", "native", archive)
            self.assertIn(full, self.images())
            # The part of containerd that a kubelet speaks to names an image so once it knows it.
            known = image.manifest["config"]["digest"]
            self.until(lambda: known in self.images(), f"the kubelet's side knows {full}")

            root = f"{self.folder}/{name}"
            os.mkdir(root)
            self.ctr("images", "mount", "--snapshotter", "native", full, root)
            try:
                said = subprocess.run(
                    ["chroot", root, f"/bin/{name}", "--version"],
                    check=True, capture_output=True, text=True,
                )
                self.assertEqual(said.stdout, f"{name} {version}\n")
            finally:
                self.ctr("images", "unmount", root)
