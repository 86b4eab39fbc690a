"""What the hub's own client downloads, and what disk-builder makes of the same hub."""

import hashlib
import json
import os
import random
import subprocess
import unittest
from pathlib import Path

from folder import BUILDER, FolderTest

SERVER = Path(os.environ["HUB_SERVER"]).resolve()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    ".gitattributes": 1519,
    "config.json": 612,
    "empty": 0,
    "model-00001-of-00002.safetensors": 21_000_077,
    "model-00002-of-00002.safetensors": 3_000_000,
    "onnx/a model ä?#%.safetensors": 4097,
    "onnx/deep/er/x.json": 4096,
    "onnx.txt": 4095,
}


class Client(FolderTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        bytes_of = random.Random(1)
        for name, size in FILES.items():
            path = cls.folder / "published" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes_of.randbytes(size))
        server = subprocess.Popen(
            [SERVER, cls.folder / "published"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        cls.addClassCleanup(server.communicate)
        cls.endpoint = server.stdout.readline().strip()
        cls.environment = {"HF_ENDPOINT": cls.endpoint, "HOME": str(cls.folder), "HF_HUB_DISABLE_XET": "1"}

    def builder(self, *arguments):
        done = subprocess.run(
            [BUILDER, *arguments], env=self.environment, capture_output=True, text=True, cwd=self.folder
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def download(self, **where):
        """The folder that the client makes."""
        script = (
            "import json, sys; from huggingface_hub import snapshot_download; "
            "print(snapshot_download('org/model', **json.loads(sys.argv[1])))"
        )
        environment = self.environment | {"PYTHONPATH": str(Path(os.environ["PYTHONPATH"]).resolve())}
        done = subprocess.run(
            ["python3", "-c", script, json.dumps(where)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip().splitlines()[-1]

    def test_a_folder_that_the_client_downloads_has_the_same_root_hash(self):
        folder = self.download(local_dir=str(self.folder / "downloaded"))
        for name, size in FILES.items():
            self.assertEqual((Path(folder) / name).stat().st_size, size)
        root_hash = self.builder("root-hash", "hf://org/model")
        self.assertEqual(root_hash, self.builder("root-hash", folder))
        self.assertEqual(root_hash, self.builder("root-hash", self.folder / "published"))

    def test_the_clients_cache_has_the_same_disk(self):
        snapshot = self.download(cache_dir=str(self.folder / "cache"), revision=COMMIT)
        self.builder("build", f"hf://org/model@{COMMIT}", "--output", "fetched.img")
        self.builder("build", snapshot, "--output", "cached.img")
        images = [(self.folder / name).read_bytes() for name in ["fetched.img", "cached.img"]]
        self.assertEqual(hashlib.sha256(images[0]).digest(), hashlib.sha256(images[1]).digest())
        manifest = json.loads((self.folder / "fetched.img.json").read_text())
        self.assertEqual(manifest["revision"], Path(snapshot).name)

    def test_what_is_left_out_is_what_the_client_ignores(self):
        folder = self.download(local_dir=str(self.folder / "some"), ignore_patterns=["onnx/*", "*.txt"])
        root_hash = self.builder("root-hash", "hf://org/model", "--exclude", "onnx", "--exclude", "*.txt")
        self.assertEqual(root_hash, self.builder("root-hash", folder))


if __name__ == "__main__":
    unittest.main()
