#!/usr/bin/env bash
# Builds the container image of a program with buildah or docker, whichever is there, as the OCI
# archive FOLDER/NAME.oci.tar, and prints NAME@DIGEST. Arguments: FOLDER, and the program, whose
# file is called as the image is.
#
# The same program gives the same image, to the byte: nothing of the machine, the user or the time
# is in it. All times are SOURCE_DATE_EPOCH, or 1970 where that is not set. (buildah and docker
# write the same image in two ways, so each has a digest of its own.)
set -euo pipefail
umask 022

folder=$1 program=$2
name=$(basename "$program")
containerfile=$(dirname "$0")/../../deploy/Containerfile
epoch=${SOURCE_DATE_EPOCH:-0}
version=$("$program" --version)
version=${version#"$name "}

mkdir -p "$folder"
work=$(mktemp -d "$folder/.$name.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/context"
install -m 0755 "$program" "$work/context/$name"

# There is nothing to run in the image, so buildah needs no isolation, and with a storage of its
# own it leaves the user's images alone.
with_buildah() {
    local buildah=(buildah --root "$work/root" --runroot "$work/run" --storage-driver vfs)
    "${buildah[@]}" build --quiet --isolation chroot --format oci --timestamp "$epoch" \
        --omit-history --identity-label=false --build-arg "VERSION=$version" \
        --target "$name" --file "$containerfile" --tag "$name" "$work/context"
    "${buildah[@]}" push --quiet "$name" "oci:$work/layout:$name"
}

# No test tries this: it takes a docker daemon.
with_docker() {
    SOURCE_DATE_EPOCH=$epoch docker buildx build --quiet --no-cache --provenance=false --sbom=false \
        --build-arg "VERSION=$version" --target "$name" --file "$containerfile" \
        --output "type=oci,tar=false,dest=$work/layout,name=$name,rewrite-timestamp=true" "$work/context"
}

if command -v buildah >/dev/null; then
    with_buildah >/dev/null
elif docker buildx version >/dev/null 2>&1; then
    with_docker >/dev/null
else
    echo "Building an image takes buildah (as in Debian) or docker with buildx: neither is there" >&2
    exit 1
fi

digest=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["manifests"][0]["digest"])' <"$work/layout/index.json")
tar --create --file "$work/image" --directory "$work/layout" --format ustar --sort name \
    --mtime "@$epoch" --owner 0 --group 0 --numeric-owner --mode u=rwX,go=rX .
mv "$work/image" "$folder/$name.oci.tar"
echo "$name@$digest"
