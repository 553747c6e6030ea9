# shellcheck shell=sh
# shellcheck disable=SC2154 # set by lib.sh
# prepare.sh — installs these tools from the folder they were copied to, and the packages that a build needs.

prepare() {
    need_root_folder
    hash=$(tools_hash "$here")
    install_tools
    install_packages "$@"
    {
        printf 'string\ttools\t%s\narray\tinstalled\n' "$hash"
        printf '%s' "$missing" | sed "s/^/item${tab}installed${tab}/"
    } | json
}

# tools_hash FOLDER — 16 hex digits over names and contents of its files.
tools_hash() (
    cd "$1" || exit
    find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum -- | sha256sum | cut -c -16
)

# install_tools — a folder by content, a link that is flipped, and the template of the build units.
install_tools() {
    lib=$root/lib/$hash
    if [ "$(tools_hash "$lib" 2>/dev/null)" != "$hash" ]; then
        new=$root/lib/.new.$$
        rm -rf -- "$new"
        mkdir -p "$new"
        cp -R -- "$here/." "$new/"
        chmod -R u=rwX,go=rX "$new"
        chmod 755 "$new/pollex-host"
        rm -rf -- "$lib"
        sync -f "$new"
        mv -T -- "$new" "$lib"
    fi
    link_to "lib/$hash" "$root/bin"
    mkdir -p "$bin_dir" "$unit_dir"
    link_to "$root/bin/pollex-host" "$bin_dir/pollex-host"
    template=pollex-build@.service
    if ! cmp -s "$lib/$template" "$unit_dir/$template"; then
        write_file "$unit_dir/$template" <"$lib/$template"
        [ ! -d /run/systemd/system ] || systemctl daemon-reload
    fi
}

# install_packages PACKAGE… — those that are not installed, in one go; sets `missing`, one a line.
install_packages() {
    missing=''
    for package in "$@"; do
        is_package "$package" || die 2 "'$package' is not the name of a Debian package (pollex:host.packages)"
        # shellcheck disable=SC2016 # the dollar belongs to dpkg-query
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing$package
"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || die 1 "missing packages, and this host has no apt-get: $(words "$missing")" \
        "install them by hand, or remove them from pollex:host.packages"
    apt_log=$root/log/packages.log
    mkdir -p "$root/log"
    : >"$apt_log"
    apt_install || {
        sed -n 's/^E: /  /p' "$apt_log" | whole_text | tail -n 10 >&2
        die 1 "cannot install $(words "$missing"): check pollex:host.packages and the host's package sources" \
            "whole log: $(uname -n):$apt_log"
    }
}

is_package() {
    case $1 in '' | [!a-z0-9]* | *[!a-z0-9.+:-]*) return 1 ;; esac
}

# words LINES — on one line.
words() {
    printf '%s' "$1" | tr '\n' ' ' | sed 's/ $//'
}

# apt_install — the lists are refreshed only when apt does not know a package, or knows one that is gone.
apt_install() {
    apt_get "installing $(words "$missing")" install && return
    grep -Eq 'Unable to locate|no installation candidate|Failed to fetch|not available|404' "$apt_log" || return 1
    apt_get "refreshing the package lists" update && apt_get "installing $(words "$missing")" install
}

# apt_get TEXT install|update — with a progress line every `poll` seconds; waits while another apt holds the lock.
apt_get() {
    set -- "$1" apt-get "$2" -q -y -o Acquire::Retries=3
    said=$1
    shift
    if [ "$2" = install ]; then
        set -- "$@" --no-install-recommends
        # One package a line, and a package's name holds nothing to split on.
        for package in $missing; do
            set -- "$@" "$package"
        done
    fi
    tries=0
    while :; do
        say "$said"
        : >"$apt_log.now"
        DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a "$@" </dev/null >"$apt_log.now" 2>&1 &
        wait_saying "$said" $!
        cat "$apt_log.now" >>"$apt_log"
        [ "$status" -ne 0 ] || break
        tries=$((tries + 1))
        { [ "$tries" -lt 30 ] && grep -q 'Could not get lock' "$apt_log.now"; } || break
        said="waiting for another apt to end"
        sleep 10
    done
    rm -f -- "$apt_log.now"
    return "$status"
}

# wait_saying TEXT PID — sets `status` to that of PID.
wait_saying() {
    since=$(now)
    next=$((since + poll))
    while kill -0 "$2" 2>/dev/null; do
        sleep 1
        clock=$(now)
        [ "$clock" -lt "$next" ] || {
            say "$1, $(duration $((clock - since)))"
            next=$((clock + poll))
        }
    done
    status=0
    wait "$2" || status=$?
}
