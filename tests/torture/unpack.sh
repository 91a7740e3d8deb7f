#!/bin/bash
# unpack.sh FOLDER: the C torture tests of Debian's gcc-12-source (gcc.c-torture/execute) into FOLDER. Nothing of them is in this
# repository: they are under the GPL. The package (90 MB) is downloaded once and deleted after unpacking.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/guests/lib.sh"
to=$1
[ -f "$to/.complete" ] && exit 0
echo "doppel: unpacking gcc's torture tests from Debian's gcc-12-source" >&2
tree=$(deb_unpack amd64 gcc-12-source)
rm -rf "$to"; mkdir -p "$to"
archive=$(find "$tree/usr/src" -name 'gcc-12*.tar.xz' | head -1)
xz -dc "$archive" | tar -x -C "$to" --strip-components=4 --wildcards '*/gcc/testsuite/gcc.c-torture/execute'
[ -d "$to/execute" ] || { echo "doppel: $archive has no gcc.c-torture/execute" >&2; exit 1; }
rm -rf "$tree"
: > "$to/.complete"
