# shellcheck shell=sh
# shellcheck disable=SC2154 # set by lib.sh
# packages.sh — brings Debian packages that are missing.

# install_packages PACKAGE… — those that are not installed, in one go; sets `missing`, one a line.
install_packages() {
    missing=''
    for package in "$@"; do
        is_package "$package" || die 2 "'$package' is not the name of a Debian package (pollex:build.packages)"
        # shellcheck disable=SC2016 # the dollar belongs to dpkg-query
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing$package
"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || die 1 "missing packages, and this host has no apt-get: $(words "$missing")" \
        "install them by hand, or name what this host has in pollex:build.packages"
    apt_log=$root/log/packages.log
    mkdir -p "$root/log"
    : >"$apt_log"
    apt_install || {
        sed -n 's/^E: /  /p' "$apt_log" | whole_text | tail -n 10 >&2
        die 1 "cannot install $(words "$missing"): check what the stack names (pollex:build.packages, pollex:polish.python)" \
            "and the host's package sources" \
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
