"""The Debian packages: what they say, and that they install, work and go away again."""

import functools
import gzip
import hashlib
import os
import threading
from email.message import Message
from email.parser import Parser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from place import PROGRAMS, RELEASE, TARGET, XTASK, PlaceTest, files, run

PLACES = {"disk-mounter": "usr/bin/disk-mounter", "disk-builder": "usr/bin/disk-builder"}
# The root hash of a model with one empty JSON object in config.json, of layout 1.
ROOT_HASH = "3f085d6cd47fc1e1ffd179c226d51e82f4edbcb5136ac35c81f9b213c6640db4"
# dpkg gives files to root, which another user is in a namespace of its own.
AS_ROOT = [] if os.getuid() == 0 else ["unshare", "--map-root-user"]


class Served(SimpleHTTPRequestHandler):
    """Files, without a word."""

    def log_message(self, *_):
        pass


class Packages(PlaceTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        run(XTASK, "deb", cls.folder, RELEASE, TARGET, *PROGRAMS, umask=0o077)
        cls.packages = {
            name: next(cls.folder.glob(f"{name}_*_*.deb")) for name in PROGRAMS
        }

    def fields(self, name) -> Message:
        return Parser().parsestr(run("dpkg-deb", "--field", self.packages[name]))

    def test_fields(self):
        for name in PROGRAMS:
            fields = self.fields(name)
            version = run(RELEASE / name, "--version").split()[1]
            architecture = run("dpkg", "--print-architecture").strip()
            self.assertEqual(fields["Package"], name)
            self.assertEqual(fields["Version"], f"{version}-1")
            self.assertEqual(fields["Architecture"], architecture)
            self.assertEqual(
                self.packages[name].name, f"{name}_{version}-1_{architecture}.deb"
            )
            for needs in ["Depends", "Pre-Depends", "Recommends"]:
                self.assertNotIn(needs, fields)
            for needed in ["Maintainer", "Section", "Priority", "Description"]:
                self.assertTrue(fields[needed])
            self.assertRegex(fields["Built-Using"], r"^glibc \(= \S+\), gcc-\d+ \(= \S+\)$")

    def test_files(self):
        for name in PROGRAMS:
            root = self.folder / f"{name} unpacked"
            run("dpkg-deb", "--raw-extract", self.packages[name], root)
            sums = (root / "DEBIAN/md5sums").read_text().splitlines()
            listed = {line[34:]: line[:32] for line in sums}
            found = {path: mode for path, mode in files(root).items() if path.startswith("usr/")}
            self.assertEqual(sorted(listed), sorted(found))
            for path, mode in found.items():
                digest = hashlib.md5((root / path).read_bytes()).hexdigest()
                self.assertEqual(listed[path], digest)
                self.assertEqual(mode, 0o755 if path == PLACES[name] else 0o644, path)
            # There are no scripts that run as root when it is installed.
            self.assertEqual({path.name for path in (root / "DEBIAN").iterdir()}, {"control", "md5sums"})

            doc = root / "usr/share/doc" / name
            self.assertIn("License: Apache-2.0\n", (doc / "copyright").read_text())
            log = gzip.decompress((doc / "changelog.Debian.gz").read_bytes()).decode()
            self.assertTrue(log.startswith(f"{name} ({self.fields(name)['Version']}) "), log)
            self.assertIn("# Changelog", gzip.open(doc / "changelog.gz", "rt").read())
            notices = gzip.open(doc / "third-party-notices.gz", "rt").read()
            self.assertIn("\n    glibc ", notices)
            self.assertEqual("\n    devicemapper " in notices, name == "disk-mounter")
            section = 8 if name == "disk-mounter" else 1
            page = root / f"usr/share/man/man{section}/{name}.{section}.gz"
            self.assertIn(f"{name}(", run("man", "--local-file", page).lower())

    def look_up_a_name(self, root, inside):
        """A server is found by its name without the libraries that glibc would load for it."""
        (root / "etc").mkdir()
        (root / "etc/nsswitch.conf").write_text("hosts: mymachines resolve [!UNAVAIL=return] other\n")
        (root / "etc/hosts").write_text("127.0.0.1 hub.example\n")
        handler = functools.partial(Served, directory=root / "model")
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://hub.example:{server.server_port}/config.json"
            digest = hashlib.sha256(b"{}").hexdigest()
            (root / "tmp/list").write_text(f"{url} 2 {digest}\n")
            command = ["/usr/bin/disk-builder", "root-hash", "--files-from", "/tmp/list"]
            found = run(*inside, *command, env={"PATH": os.environ["PATH"]})
            server.shutdown()
        self.assertEqual(found.strip(), ROOT_HASH)

    def test_install_use_and_purge(self):
        """On a system with nothing on it but dpkg's database: the programs need nothing else."""
        root = self.folder / "root"
        database = root / "var/lib/dpkg"
        for folder in ["info", "updates", "triggers"]:
            (database / folder).mkdir(parents=True)
        (database / "status").touch()
        (database / "available").touch()
        dpkg = [*AS_ROOT, "dpkg", "--root", root, "--log", self.folder / "log"]

        run(*dpkg, "--install", *self.packages.values())
        shown = run("dpkg-query", "--root", root, "--show", "--showformat", "${Package} ${Status}\n")
        self.assertEqual(
            shown, "".join(f"{name} install ok installed\n" for name in sorted(PROGRAMS))
        )
        self.assertEqual(run(*dpkg, "--verify"), "")

        inside = [*AS_ROOT, "chroot", root]
        for name, path in PLACES.items():
            self.assertTrue(run(*inside, f"/{path}", "--version").startswith(f"{name} "))
        (root / "model").mkdir()
        (root / "model/config.json").write_text("{}")
        (root / "tmp").mkdir()
        built = run(*inside, "/usr/bin/disk-builder", "build", "/model", "--output", "/tmp/image")
        self.assertIn(ROOT_HASH, built)
        claims = run(*inside, "/usr/bin/disk-mounter", "inspect", "/tmp/image")
        self.assertIn("erofs", claims.lower())
        # Without links in a model, /proc is not needed.
        (root / "model/link").symlink_to("config.json")
        with self.assertRaisesRegex(AssertionError, "takes /proc, which is not mounted"):
            run(*inside, "/usr/bin/disk-builder", "root-hash", "/model")
        self.look_up_a_name(root, inside)
        run("rm", "-r", root / "model", root / "tmp", root / "etc")

        run(*dpkg, "--purge", *PROGRAMS)
        left = [path for path in files(root) if not path.startswith("var/lib/dpkg/")]
        self.assertEqual(left, [])
        self.assertEqual([path.name for path in root.iterdir()], ["var"])
        self.assertEqual(run("dpkg-query", "--root", root, "--show"), "")
