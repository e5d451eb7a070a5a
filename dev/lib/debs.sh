# shellcheck shell=bash
# Debian packages unpacked into a folder: no root, no chroot, no change to the system. Sourced after env.sh.
#
# The packages and all they depend on, libc included, are downloaded with an apt of its own (own lists, an empty dpkg
# status, the mirror that this machine is configured for) and unpacked over each other. Programs are then started
# through the unpacked loader, so it does not matter which release the machine runs. The .debs are kept: a suite that
# moves on, or a machine without network, does not change what is installed.

# from_packages: are the servers to be unpacked from Debian's packages (or is one that the user installed to be used)?
from_packages() {
    [ "${LAKEHOUSE_SERVERS:-packages}" != system ] && [ "$(. /etc/os-release && echo "$ID")" = debian ] && have dpkg-deb
}

# debian_mirrors: the archive URIs this machine uses, main archive first, then the security archive.
debian_mirrors() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        sed 's:/*$::' | awk '!seen[$0]++ { if (/security/) late = late $0 "\n"; else print } END { printf "%s", late }'
}

# debs_fetch DIR SUITE PACKAGE...: downloads PACKAGEs with dependencies into DIR, complete or not at all.
# With SUITE "bookworm" the security archive is read as well, if the machine has one.
debs_fetch() {
    local dir=$1 suite=$2 apt main security
    shift 2
    have apt-get || return 1
    main=$(debian_mirrors | grep -v security | head -n 1)
    security=$(debian_mirrors | grep security | head -n 1 || true)
    [ -n "$main" ] || die 3 "no Debian archive is configured on this machine" \
        "add one to /etc/apt/sources.list (deb ... bookworm main)"
    apt=$dir.apt
    rm -rf "$apt" "$dir.partial"
    mkdir -p "$apt"/{lists,cache}/partial "$dir.partial/partial"
    : >"$apt/status"
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=
    [ ! -r $keyring ] || signed="[signed-by=$keyring] "
    echo "deb ${signed}$main $suite main" >"$apt/sources.list"
    [ "$suite" = sid ] || [ -z "$security" ] || echo "deb ${signed}$security $suite-security main" >>"$apt/sources.list"
    local options=(
        -qq
        -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
        -o Dir::State="$apt" -o Dir::State::status="$apt/status"
        -o Dir::Cache="$apt/cache" -o Dir::Cache::archives="$dir.partial"
        -o APT::Install-Recommends=0 -o APT::Sandbox::User= -o APT::Keep-Downloaded-Packages=true
        -o APT::Update::Post-Invoke-Success::=true -o Acquire::Languages=none -o Acquire::Retries=3
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Debug::NoLocking=1
    )
    apt-get "${options[@]}" update >"$apt/log" 2>&1 &&
        apt-get "${options[@]}" install -y --download-only "$@" >>"$apt/log" 2>&1 || {
        tail -n 20 "$apt/log" >&2
        die 3 "the Debian packages ($*) of $suite could not be downloaded" \
            "check the network and the archive in /etc/apt/sources.list*, then run it again"
    }
    rmdir "$dir.partial/partial"
    rm -f "$dir.partial/lock"
    (cd "$dir.partial" && sha256sum -- *.deb >SHA256SUMS)
    rm -rf "$dir" "$apt"
    mv "$dir.partial" "$dir"
}

# debs_intact DIR: are the kept packages all there and whole?
debs_intact() { [ -f "$1/SHA256SUMS" ] && (cd "$1" && sha256sum --quiet --status -c SHA256SUMS); }

# debs_unpack DIR ROOT: unpacks every package of DIR into ROOT (a new tree, merged /usr), complete or not at all.
debs_unpack() {
    local dir=$1 root=$2 deb sub
    rm -rf "$root.partial"
    mkdir -p "$root.partial"/usr/{bin,sbin,lib,lib64}
    for sub in bin sbin lib lib64; do ln -s "usr/$sub" "$root.partial/$sub"; done
    for deb in "$dir"/*.deb; do
        # Manuals, translations of messages and other documents are a third of the size, and nothing reads them.
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root.partial" --keep-directory-symlink --no-same-owner \
            --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*'
    done
    rm -rf "$root"
    mv "$root.partial" "$root"
}

# through_loader ROOT PROGRAM: prints, one a line, the command that starts ROOT/usr/PROGRAM with ROOT's own libraries.
through_loader() {
    local root=$1 program=$2 loader libraries
    case $(uname -m) in
    x86_64) libraries=$root/usr/lib/x86_64-linux-gnu loader=$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 ;;
    aarch64) libraries=$root/usr/lib/aarch64-linux-gnu loader=$root/usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1 ;;
    *) die 2 "no servers are packaged for $(uname -m)" ;;
    esac
    printf '%s\n' "$loader" --library-path "$libraries:$root/usr/lib/mysql/private" "$root/usr/$program"
}
