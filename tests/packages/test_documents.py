"""Manual pages and completions, as they are installed; and colours."""

import os
import pty
import re
import subprocess

from place import PROGRAMS, RELEASE, PlaceTest, install, run

PAGES = {"disk-mounter": "man8/disk-mounter.8", "disk-builder": "man1/disk-builder.1"}


class Documents(PlaceTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        install(cls.folder)

    def test_manual_pages_have_no_faults(self):
        for path in PAGES.values():
            page = self.folder / "share/man" / path
            environment = os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
            # Both say nothing of a page without faults.
            self.assertEqual(run("mandoc", "-T", "lint", "-W", "warning", page), "")
            done = subprocess.run(
                ["man", "--warnings", "--local-file", page],
                env=environment, check=True, capture_output=True, text=True,
            )
            self.assertEqual(done.stderr, "")

    def test_manual_pages_say_what_they_should(self):
        for name, path in PAGES.items():
            environment = os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
            text = run("man", "--local-file", self.folder / "share/man" / path, env=environment)
            headings = re.findall(r"^[A-Z][A-Z ]+$", text, re.MULTILINE)
            sections = "NAME SYNOPSIS DESCRIPTION OPTIONS COMMANDS".split()
            self.assertEqual(headings, [*sections, "EXIT STATUS", "EXAMPLES", "SEE ALSO"])
            for code in range(7):
                self.assertRegex(text, rf"(?m)^ +{code}  +\w")
            # Every command that the help lists has a part of its own, and an example.
            listed = run(RELEASE / name, "--help").split("\nCommands:\n")[1].split("\n\n")[0]
            commands = re.findall(r"^  (\S+)", listed, re.MULTILINE)
            self.assertGreaterEqual(len(commands), 6)
            for command in set(commands) - {"help"}:
                self.assertRegex(text, rf"(?m)^   {command}$")
                self.assertRegex(text, rf"(?m)^ +{name} {command}( |$)")

    def test_bash_completes(self):
        for line, completed in [
            ("disk-mounter unm", "unmount"),
            ("disk-mounter mount --prefe", "--prefetch"),
            ("disk-mounter sidecar --on-corruption pa", "panic"),
            ("disk-builder root", "root-hash"),
            ("disk-builder root-hash --excl", "--exclude"),
            ("disk-builder build --outp", "--output"),
        ]:
            words = line.split()
            name, before, word = words[0], words[-2], words[-1]
            # As bash calls it when somebody presses TAB.
            script = f"""
                set -eu
                source "$1"
                COMP_WORDS=({line}) COMP_CWORD={len(words) - 1}
                "$(complete -p {name} | sed 's/.* -F \\([^ ]*\\) .*/\\1/')" {name} {word} {before}
                echo "${{COMPREPLY[@]}}"
            """
            path = self.folder / "share/bash-completion/completions" / name
            self.assertEqual(run("bash", "-c", script, "-", path).strip(), completed)

    def test_fish_completes(self):
        path = self.folder / "share/fish/vendor_completions.d/disk-mounter.fish"
        home = os.environ | {"HOME": str(self.folder)}
        script = "source $argv[1]; complete --do-complete 'disk-mounter unm'"
        self.assertIn("unmount", run("fish", "--command", script, path, env=home))
        path = path.with_name("disk-builder.fish")
        script = "source $argv[1]; complete --do-complete 'disk-builder verify --root'"
        self.assertIn("--root-hash", run("fish", "--command", script, path, env=home))

    def test_zsh_finds_and_loads_them(self):
        folder = self.folder / "share/zsh/site-functions"
        for name in PROGRAMS:
            script = f"""
                fpath=($1 $fpath)
                autoload -Uz compinit && compinit -u -D
                print -- ${{_comps[{name}]}}
                autoload +X -- _{name} && print -- ${{functions[_{name}]}}
            """
            found = run("zsh", "--no-rcs", "-c", script, "-", folder)
            self.assertEqual(found.splitlines()[0], f"_{name}")
            self.assertIn("--root-hash", found)


# Sets the colour or the weight of what follows.
STYLE = re.compile(rb"\x1b\[[0-9;]*m")
# Without what else says whether colours are wanted.
PLAIN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("CLICOLOR", "NO_COLOR", "CI"))
} | {"TERM": "xterm-256color"}


def on_a_terminal(command, **environment):
    """What a command writes to the terminal that it runs on."""
    main, terminal = pty.openpty()
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=PLAIN | environment
    ):
        os.close(terminal)
        written = b""
        while True:
            try:
                part = os.read(main, 4096)
            except OSError:  # Nobody has the terminal open any more.
                part = b""
            if not part:
                break
            written += part
    os.close(main)
    return written


class Colours(PlaceTest):
    # Results and complaints of clap's, and one of ours.
    LINES = [["--help"], ["inspect"], ["inspect", "/nothing/there"]]

    def test_only_on_a_terminal(self):
        for program in PROGRAMS:
            for line in self.LINES:
                command = [RELEASE / program, *line]
                shown = on_a_terminal(command)
                self.assertGreater(len(shown), 20)
                # What the programs say themselves has no colours at all.
                self.assertEqual(bool(STYLE.search(shown)), line != self.LINES[-1], shown)
                done = subprocess.run(command, env=PLAIN, capture_output=True)
                said = done.stdout + done.stderr
                self.assertGreater(len(said), 20)
                self.assertNotIn(b"\x1b", said)

    def test_not_with_no_color(self):
        for program in PROGRAMS:
            for line in self.LINES:
                shown = on_a_terminal([RELEASE / program, *line], NO_COLOR="1")
                self.assertGreater(len(shown), 20)
                self.assertNotIn(b"\x1b", shown)

    def test_progress_has_none(self):
        model = self.folder / "model"
        model.mkdir()
        with open(model / "weights", "wb") as file:
            file.truncate(1 << 30)
        command = [RELEASE / "disk-builder", "root-hash", "--threads", "1", model]
        for environment in [{}, {"NO_COLOR": "1"}]:
            shown = on_a_terminal(command, **environment)
            self.assertIn(b"1.00 GiB", shown)
            self.assertIsNone(STYLE.search(shown), shown)
