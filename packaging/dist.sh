#!/usr/bin/env bash
# Makes everything of a release, with checksums.
#
#     dist.sh FOLDER RELEASE TARGET PROGRAM...
#
# FOLDER gets an archive of the programs with what belongs to them, laid out as under a PREFIX, the
# Debian package of each, its bill of materials, and SHA256SUMS. The same sources, compiler and C
# library give the same files, to the byte, in whatever folder, by whatever user, at whatever time.
set -euo pipefail
umask 022
here=$(dirname "$0")
folder=$1 release=$2 target=$3
shift 3
SOURCE_DATE_EPOCH=$("$here/date.sh" +%s)
export SOURCE_DATE_EPOCH
version=$("$release/disk-mounter" --version)
version=${version#disk-mounter }
archive=disk-mounter-$version-$target

mkdir -p "$folder"
work=$(mktemp -d "$folder/.dist.XXXXXX")
trap 'rm -rf "$work"' EXIT

"$here/install.sh" install "$work/$archive" "$release" "$@"
install -m 0644 "$here"/../{LICENSE,README.md,CHANGELOG.md} "$work/$archive"
"$here/notices.py" "$target" "$@" >"$work/$archive/THIRD-PARTY-NOTICES"
mkdir "$work/files"
tar --create --directory "$work" --format ustar --sort name --mtime "@$SOURCE_DATE_EPOCH" \
    --owner 0 --group 0 --numeric-owner --mode u=rwX,go=rX "$archive" |
    gzip --no-name --best >"$work/files/$archive.tar.gz"

for name in "$@"; do
    "$here/sbom.py" "$release/$name" "$target" >"$work/files/$name-$version-$target.cdx.json"
done
"$here/deb.sh" "$work/files" "$release" "$target" "$@"
(cd "$work/files" && LC_ALL=C sha256sum -- * >SHA256SUMS)

# What an earlier version left there would not be in SHA256SUMS.
rm -f "$folder"/{SHA256SUMS,*.tar.gz,*.cdx.json,*.deb}
mv "$work"/files/* "$folder"
cat "$folder/SHA256SUMS"
