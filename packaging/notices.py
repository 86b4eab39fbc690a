#!/usr/bin/env -S python3 -B
"""Prints the licences and notices of what is linked into programs.

Arguments: the target that they were built for, and the programs' names.
"""

import sys

import parts

RULE = "=" * 80


def notices(target, programs):
    linked = parts.libraries()
    for program in programs:
        linked |= parts.crates(program, target)
    others = [linked[key] for key in sorted(linked) if not linked[key].own]
    lines = [
        f"What is linked into {' and '.join(programs)}, besides this project's own work:",
        "",
        *(f"    {part.name} {part.version}: {part.license}" for part in others),
    ]
    for text, titles in texts(others).items():
        lines += ["", RULE, *titles, RULE, "", text]
    return "\n".join(lines) + "\n"


def texts(linked):
    """Each text once, with all files that say it."""
    found = {}
    for part in linked:
        for path in part.texts:
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            found.setdefault(text, []).append(f"{part.name} {part.version}: {path.name}")
    return found


if __name__ == "__main__":
    sys.stdout.write(notices(sys.argv[1], sys.argv[2:]))
