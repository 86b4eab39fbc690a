#!/usr/bin/env -S python3 -B
"""Prints the bill of materials of a program, as CycloneDX 1.5 in JSON.

Arguments: the program's file, and the target that it was built for. The time in it is
SOURCE_DATE_EPOCH. The same sources, compiler and C library give the same bill, to the byte.
"""

import hashlib
import json
import os
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import parts


def component(part, kind="library", sha256=None):
    sha256 = sha256 or part.sha256
    described = {
        "type": kind,
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "licenses": [{"expression": part.license}],
        "purl": part.purl,
    }
    if sha256:
        described["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    return described


def bill(program, target):
    crates = parts.crates(program.name, target)
    libraries = parts.libraries()
    (own, first), *_ = crates.items()
    first.needs.update(libraries)
    all_parts = crates | libraries
    time = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    digest = hashlib.sha256(program.read_bytes()).hexdigest()
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(first, "application", digest),
            "properties": [{"name": "target", "value": target}],
        },
        "components": [component(all_parts[key]) for key in sorted(all_parts) if key != own],
        "dependencies": [
            {
                "ref": all_parts[key].purl,
                "dependsOn": sorted(all_parts[need].purl for need in all_parts[key].needs),
            }
            for key in sorted(all_parts)
        ],
    }
    # Every bill has a number of its own; this one's follows from what it says.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bill))
    return {**bill, "serialNumber": f"urn:uuid:{number}"}


if __name__ == "__main__":
    print(json.dumps(bill(Path(sys.argv[1]), sys.argv[2]), indent=2))
