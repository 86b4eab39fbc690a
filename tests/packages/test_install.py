"""`make install` and `make uninstall`."""

import subprocess

from place import PROGRAMS, RELEASE, XTASK, PlaceTest, files, make, run

INSTALLED = {
    "bin/disk-builder": 0o755,
    "bin/disk-mounter": 0o755,
    "share/bash-completion/completions/disk-builder": 0o644,
    "share/bash-completion/completions/disk-mounter": 0o644,
    "share/doc/disk-builder/LICENSE": 0o644,
    "share/doc/disk-mounter/LICENSE": 0o644,
    "share/fish/vendor_completions.d/disk-builder.fish": 0o644,
    "share/fish/vendor_completions.d/disk-mounter.fish": 0o644,
    "share/man/man1/disk-builder.1": 0o644,
    "share/man/man8/disk-mounter.8": 0o644,
    "share/zsh/site-functions/_disk-builder": 0o644,
    "share/zsh/site-functions/_disk-mounter": 0o644,
}


class Install(PlaceTest):
    def test_installs_and_removes(self):
        for variables, prefix in [([], "usr/local"), (["PREFIX=/opt/weights"], "opt/weights")]:
            root = self.folder / f"root of {prefix.replace('/', '-')}"
            # Somebody else's file, beside ours.
            other = root / prefix / "share/man/man8/disk-mounter-other.8"
            other.parent.mkdir(parents=True)
            other.touch()
            make("install", f"DESTDIR={root}", *variables)
            other_path = str(other.relative_to(root))
            found = files(root)
            del found[other_path]
            self.assertEqual(found, {f"{prefix}/{k}": v for k, v in INSTALLED.items()})
            for folder in root.rglob("*"):
                if folder.is_dir() and folder not in other.parents:
                    self.assertEqual(folder.stat().st_mode & 0o777, 0o755, folder)
            for program in PROGRAMS:
                path = root / prefix / "bin" / program
                self.assertTrue(run(path, "--version").startswith(f"{program} "))

            make("uninstall", f"DESTDIR={root}", *variables)
            self.assertEqual(list(files(root)), [other_path])
            self.assertEqual(list((root / prefix / "share/doc").iterdir()), [])
            # There is nothing left to remove, which is no error.
            make("uninstall", f"DESTDIR={root}", *variables)

    def test_the_programs_are_small(self):
        # The mounter is in every image of a pod, and all of it has to be trusted. The builder has HTTP
        # and TLS, which are a third of it.
        for program, most in [("disk-mounter", 3_000_000), ("disk-builder", 5_500_000)]:
            self.assertLessEqual((RELEASE / program).stat().st_size, most)

    def test_says_what_has_not_been_built(self):
        empty = self.folder / "empty"
        empty.mkdir()
        for arguments in [[empty, "disk-mounter"], [RELEASE, "disk-unmaker"]]:
            root = self.folder / "nothing"
            command = [XTASK, "install", root, *arguments]
            done = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("missing: make build", done.stderr)
            self.assertFalse(root.exists())
