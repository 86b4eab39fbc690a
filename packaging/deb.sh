#!/usr/bin/env bash
# Makes the Debian package of each program from what `make install` installs.
#
#     deb.sh FOLDER RELEASE TARGET PROGRAM...
#
# FOLDER gets the packages; RELEASE is the folder with the built programs. The same programs give
# the same packages, to the byte: all times are those of date.sh. DEBFULLNAME and DEBEMAIL say who
# makes the package, as in Debian's own tools.
set -euo pipefail
umask 022
here=$(dirname "$0")
folder=$1 release=$2 target=$3
shift 3
SOURCE_DATE_EPOCH=$("$here/date.sh" +%s)
export SOURCE_DATE_EPOCH
maintainer="${DEBFULLNAME:-disk-mounter maintainers} <${DEBEMAIL:-maintainers@disk-mounter.invalid}>"

# What is linked in from Debian's own packages, so that its sources can be found.
built_using() {
    local archive list=
    for archive in libc.a libgcc_eh.a; do
        archive=$(realpath "$(gcc -print-file-name=$archive)")
        list+=", $(dpkg --search "$archive" | cut -d: -f1 |
            xargs dpkg-query --show --showformat '${source:Package} (= ${source:Version})')"
    done
    echo "${list#, }"
}

changelog() {
    echo "$1 ($2) unstable; urgency=medium"
    echo
    echo "  * What is new is in changelog.gz."
    echo
    echo " -- $maintainer  $("$here/date.sh" --rfc-email)"
}

package() {
    local name=$1 root=$2 version doc
    version=$("$release/$name" --version)
    version=${version#"$name "}-1
    ZSH_FUNCTIONS=share/zsh/vendor-completions "$here/install.sh" install "$root/usr" "$release" "$name"

    gzip --no-name --best "$root"/usr/share/man/man?/*
    doc=$root/usr/share/doc/$name
    # Debian has the text itself.
    rm "$doc/LICENSE"
    cp "$here/debian/copyright" "$doc/copyright"
    gzip --no-name --best <"$here/../CHANGELOG.md" >"$doc/changelog.gz"
    changelog "$name" "$version" | gzip --no-name --best >"$doc/changelog.Debian.gz"
    "$here/notices.py" "$target" "$name" | gzip --no-name --best >"$doc/third-party-notices.gz"
    mkdir -p "$root/usr/share/lintian/overrides"
    {
        echo "# It is linked statically, to need nothing of the machine, and lintian takes it for a library."
        echo "$name: shared-library-lacks-prerequisites"
        echo "# It is made by the project and not for Debian's archive."
        echo "$name: initial-upload-closes-no-bugs"
    } >"$root/usr/share/lintian/overrides/$name"

    mkdir "$root/DEBIAN"
    (cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
    {
        echo "Package: $name"
        echo "Version: $version"
        echo "Architecture: $(dpkg --print-architecture)"
        echo "Maintainer: $maintainer"
        echo "Installed-Size: $(du --apparent-size --summarize --block-size 1024 "$root/usr" | cut -f1)"
        echo "Built-Using: $(built_using)"
        echo "Priority: optional"
        cat "$here/debian/$name"
    } >"$root/DEBIAN/control"
    # Compressed by one thread, as that does not depend on how many the machine has.
    dpkg-deb --root-owner-group -Zxz --threads-max=1 --build "$root" "$folder" >/dev/null
}

mkdir -p "$folder"
work=$(mktemp -d "$folder/.deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
for name in "$@"; do
    mkdir "$work/$name"
    package "$name" "$work/$name"
done
