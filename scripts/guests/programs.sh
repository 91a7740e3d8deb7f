#!/bin/bash
# Trees of Debian's programs for the tests of user mode: programs.sh [small|full] ARCH...   (i386 amd64 mipsel mips64el)
#   guests/programs-small-ARCH   bash, coreutils and their libraries
#   guests/programs-ARCH         bash, python3 with its test modules, perl, sqlite3, openssl, gcc, 7zip, git and all they depend on (1 GB)
# The packages are downloaded and unpacked, never installed. What is there already is left alone.
. "$(dirname "$0")/lib.sh"

small=(base-files bash coreutils libc6 libgcc-s1 libtinfo6 libselinux1 libpcre2-8-0 libacl1 libattr1 libgmp10)
full=(bash coreutils sed grep gawk findutils diffutils python3 libpython3.11-testsuite perl sqlite3 openssl gcc libc6-dev 7zip git)
prune=(--exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale --exclude=./usr/share/info --exclude=./usr/share/lintian
    --exclude='*/lto1' --exclude='*/libasan.*' --exclude='*/libtsan.*' --exclude='*/liblsan.*' --exclude='*/libubsan.*' --exclude='*gprofng*'
    --exclude='./usr/share/gitweb' --exclude='./usr/lib/systemd' --exclude='*-gcov*')

tree() {    # FOLDER ARCH PACKAGE...
    local folder=$1 arch=$2 key; shift 2
    key=$(printf '%s\n' "$arch" "$@" "${prune[@]}" | sha256sum | cut -c1-16)
    [ "$(cat "$folder/.complete" 2>/dev/null)" = "$key" ] && return 0
    echo "doppel: unpacking Debian's programs for $arch into $folder" >&2
    rm -rf "$folder"
    case $folder in *-small-*) packages_tree "$arch" "$folder" prune "$@" ;;
        *) packages_tree "$arch" "$folder" prune $(packages_closure "$arch" "$@") ;; esac
    mkdir -p "$folder"/{etc,tmp}
    # Links to absolute names would lead out of the tree.
    find "$folder" -type l -lname '/*' | while read -r link; do ln -sfnr "$folder$(readlink "$link")" "$link"; done
    [ -e "$folder/usr/bin/awk" ] || ln -s gawk "$folder/usr/bin/awk"      # dpkg's alternatives are made when packages are configured
    echo "$key" > "$folder/.complete"
}

kind=full
for word; do
    case $word in
        small|full) kind=$word ;;
        i386|amd64|mipsel|mips64el)
            if [ $kind = small ]; then tree "$OUT/programs-small-$word" "$word" "${small[@]}"
            else tree "$OUT/programs-$word" "$word" "${full[@]}"; fi ;;
        *) echo "doppel: no such kind of programs: $word (small full, then i386 amd64 mipsel mips64el)" >&2; exit 2 ;;
    esac
done
