"""The container images: what is in them, how large they are, and that they are reproducible."""

import os
import subprocess
import tempfile
import unittest

from rootfs import Image

# It lies beside the programs.
XTASK = os.path.join(os.path.dirname(os.path.abspath(os.environ["DISK_MOUNTER"])), "xtask")
LARGEST_IMAGE = 4_000_000
LARGEST_PROGRAM = {"disk-mounter": 3_000_000, "disk-builder": 5_500_000}


def build(folder, program, *options, **environment):
    """Builds the image of a program and gives its name with the digest, and its archive."""
    done = subprocess.run(
        [XTASK, "image", folder, program, *options],
        env=os.environ | environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.strip(), f"{folder}/{os.path.basename(program)}.oci.tar"


def content(path):
    """The bytes of a file."""
    with open(path, "rb") as file:
        return file.read()


class ImageTests:
    """What holds for every image: a test case sets `name`, `program` and `user`."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="image-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        cls.digest, cls.archive = build(f"{cls.folder}/image", cls.program)
        cls.image = Image(cls.archive)
        cls.rootfs = f"{cls.folder}/rootfs"
        cls.image.unpack(cls.rootfs)

    def copy(self, folder, more=b""):
        """A copy of the program, with another mode, time and, for root, owner."""
        os.makedirs(f"{self.folder}/{folder}")
        path = f"{self.folder}/{folder}/{self.name}"
        with open(path, "wb") as file:
            file.write(content(self.program) + more)
        os.chmod(path, 0o700)
        os.utime(path, (1, 1))
        if os.getuid() == 0:
            os.chown(path, 1234, 1234)
        return path

    def test_the_same_program_gives_the_same_image(self):
        elsewhere = {"HOME": self.folder, "TZ": "Asia/Kathmandu", "LC_ALL": "C"}
        digest, archive = build(f"{self.folder}/again", self.copy("copy"), **elsewhere)
        self.assertEqual(digest, self.digest)
        self.assertEqual(content(archive), content(self.archive))

    def test_another_name_is_the_same_image(self):
        for registry, options in [
            ("docker.io/library", []),
            ("registry.example/weights", ["--registry", "registry.example/weights"]),
        ]:
            digest, archive = build(f"{self.folder}/named", self.program, *options)
            self.assertEqual(digest, self.digest)
            image = Image(archive)
            version = image.config["config"]["Labels"]["org.opencontainers.image.version"]
            names = {
                "io.containerd.image.name": f"{registry}/{self.name}:{version}",
                "org.opencontainers.image.ref.name": version,
            }
            self.assertEqual(image.annotations, names)

    def test_another_time_is_another_image(self):
        digest, _ = build(f"{self.folder}/later", self.program, SOURCE_DATE_EPOCH="86400")
        self.assertNotEqual(digest, self.digest)

    def test_another_program_is_another_image(self):
        digest, _ = build(f"{self.folder}/other", self.copy("changed", b"\0"))
        self.assertNotEqual(digest, self.digest)

    def test_the_size(self):
        self.assertLessEqual(os.path.getsize(self.archive), LARGEST_IMAGE)
        program = os.path.getsize(f"{self.rootfs}/bin/{self.name}")
        self.assertLessEqual(program, LARGEST_PROGRAM[self.name])

    def test_what_is_in_it(self):
        paths = [
            os.path.relpath(os.path.join(parent, entry), self.rootfs)
            for parent, folders, files in os.walk(self.rootfs)
            for entry in folders + files
        ]
        self.assertEqual(sorted(paths), ["bin", f"bin/{self.name}"])
        self.assertEqual(content(f"{self.rootfs}/bin/{self.name}"), content(self.program))
        self.assertEqual(os.stat(f"{self.rootfs}/bin/{self.name}").st_mode & 0o7777, 0o755)

    def test_how_it_is_run(self):
        config = self.image.config["config"]
        self.assertEqual(config["Entrypoint"], [f"/bin/{self.name}"])
        self.assertEqual(config["User"], self.user)
        self.assertNotIn("Cmd", config)

    def test_what_it_says_of_itself(self):
        self.assertNotIn("history", self.image.config)
        labels = self.image.config["config"]["Labels"]
        self.assertEqual(labels["org.opencontainers.image.title"], self.name)
        self.assertEqual(labels["org.opencontainers.image.licenses"], "Apache-2.0")
        self.assertRegex(labels["org.opencontainers.image.version"], r"^\d+\.\d+\.\d+")

    def test_it_runs_with_nothing_beside_it(self):
        done = subprocess.run(
            ["chroot", self.rootfs, f"/bin/{self.name}", "--version"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.assertRegex(done.stdout, rf"^{self.name} \d")


class Mounter(ImageTests, unittest.TestCase):
    """The image of disk-mounter."""

    name = "disk-mounter"
    program = os.environ["DISK_MOUNTER"]
    user = "0:0"


class Builder(ImageTests, unittest.TestCase):
    """The image of disk-builder."""

    name = "disk-builder"
    program = os.environ["DISK_BUILDER"]
    user = "65532:65532"
