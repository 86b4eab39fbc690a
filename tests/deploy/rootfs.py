#!/usr/bin/env python3
"""Unpacks the image of an OCI archive into a folder, as a container runtime would, and prints the
image's configuration.

Arguments: the archive, and the folder, which must not be there yet.
"""

import hashlib
import json
import os
import subprocess
import sys
import tarfile


class Image:
    """The only image of an OCI archive."""

    def __init__(self, archive):
        self.archive = archive
        (manifest,) = json.loads(self.read("index.json"))["manifests"]
        self.annotations = manifest["annotations"]
        self.manifest = json.loads(self.blob(manifest))
        self.config = json.loads(self.blob(self.manifest["config"]))

    def read(self, name):
        """A file of the archive."""
        with tarfile.open(self.archive) as archive:
            return archive.extractfile(f"./{name}").read()

    def blob(self, descriptor):
        """What a descriptor describes, checked against its digest."""
        algorithm, digest = descriptor["digest"].split(":")
        data = self.read(f"blobs/{algorithm}/{digest}")
        if hashlib.new(algorithm, data).hexdigest() != digest:
            sys.exit(f"the blob {descriptor['digest']} is not what its digest says")
        return data

    def unpack(self, folder):
        """Writes the root filesystem into a new folder."""
        os.makedirs(folder)
        for layer in self.manifest["layers"]:
            if not layer["mediaType"].endswith(".tar+gzip"):
                sys.exit(f"a layer of type {layer['mediaType']}: only tar+gzip is known here")
            subprocess.run(
                ["tar", "--extract", "--gzip", "--numeric-owner", "--directory", folder],
                input=self.blob(layer),
                check=True,
            )


if __name__ == "__main__":
    archive, folder = sys.argv[1:]
    image = Image(archive)
    image.unpack(folder)
    print(json.dumps(image.config["config"], indent=2))
