# shellcheck shell=sh
# shellcheck disable=SC2154 # the variables of the tools are set by lib.sh
# status.sh — the live map, what it should be, and the facts of the host.
#
# Both maps are lines ITEM<tab>VALUE, so that what drifted is what differs.

generations=$root/generations

status() {
    [ "${1:-}" = --json ] || [ $# -eq 0 ] || die 2 "'status' takes nothing but --json"
    id=$(current)
    if [ "${1:-}" = --json ]; then
        observed "$id" '' | report_status /dev/null
    else
        observed "$id" '' | sed "s/$tab/: /"
    fi
}

# current — the id of the live generation, or nothing.
current() {
    link=$(readlink -- "$root/current") || link=''
    printf '%s' "${link##*/}"
}

# unit_name NAME — with its suffix.
unit_name() {
    case $1 in *.service) printf '%s' "$1" ;; *) printf '%s.service' "$1" ;; esac
}

# units_of ID — the names of its units, one a line.
units_of() {
    [ ! -d "$generations/$1/units" ] || ls -- "$generations/$1/units"
}

# stores_of ID — the names of the store paths that it needs, each once.
stores_of() {
    [ ! -f "$generations/$1/needs" ] || sed "s/^[^$tab]*$tab//; s|/*\$||; s|.*/||; /^\$/d" "$generations/$1/needs" | sort -u
}

# desired ID — the map of a generation as it should be.
desired() {
    printf 'generation\t%s\n' "$1"
    for unit in $(units_of "$1"); do
        printf 'unit %s\t%s\nservice %s\tactive\n' "$unit" "$(sha256_of "$generations/$1/units/$unit")" "$unit"
    done
    [ ! -f "$generations/$1/links" ] || sed '/^$/d; s/^/link /' "$generations/$1/links"
    [ ! -f "$generations/$1/files" ] || awk -F "$tab" '{ print "file " $2 "\t" $5 }' "$generations/$1/files"
    stores_of "$1" | sed "s/^/store /; s/\$/${tab}intact/"
}

# observed ID KNOWN — the map of a generation's items as they are now. KNOWN: a file of lines STORE<tab>STATE that need
# not be hashed again, or ''.
observed() {
    printf 'generation\t%s\n' "$(current)"
    units=$(units_of "$1")
    for unit in $units; do
        if [ -f "$unit_dir/$unit" ]; then
            printf 'unit %s\t%s\n' "$unit" "$(sha256_of "$unit_dir/$unit")"
        else
            printf 'unit %s\tmissing\n' "$unit"
        fi
    done
    # shellcheck disable=SC2086 # names of units hold nothing to split on
    [ -z "$units" ] || service_states $units
    if [ -f "$generations/$1/links" ]; then
        while IFS=$tab read -r path _; do
            [ -z "$path" ] || printf 'link %s\t%s\n' "$path" "$(link_state "$path")"
        done <"$generations/$1/links"
    fi
    if [ -f "$generations/$1/files" ]; then
        while IFS=$tab read -r _ path mode _; do
            printf 'file %s\t%s\n' "$path" "$(file_state "$path" "$mode")"
        done <"$generations/$1/files"
    fi
    stores_of "$1" | while IFS= read -r path; do
        state=$([ -z "$2" ] || sed -n "s/^$path$tab//p" "$2" | tail -n 1)
        printf 'store %s\t%s\n' "$path" "${state:-$(store_state "$root/store/$path")}"
    done
}

# file_state PATH MODE — its hash, and its mode and owner where they are not MODE and root.
file_state() {
    if [ -L "$1" ] || { [ -e "$1" ] && [ ! -f "$1" ]; }; then
        echo 'not a plain file'
    elif [ -f "$1" ] && [ ! -r "$1" ]; then
        echo 'not readable'
    elif [ -f "$1" ]; then
        printf '%s' "$(sha256_of "$1")"
        stat -c '%a %u %U' -- "$1" | awk -v mode="$2" '$1 != mode { printf ", mode %s", $1 } $2 != 0 { printf ", owner %s", $3 }'
    else
        echo missing
    fi
}

link_state() {
    if [ -L "$1" ]; then
        readlink -- "$1"
    elif [ -e "$1" ]; then
        echo 'a file'
    else
        echo missing
    fi
}

# service_states UNIT… — their lines of the map, with one question to systemd.
service_states() {
    systemctl show -p Id -p ActiveState -p UnitFileState -- "$@" 2>/dev/null | awk -F = '
        function line() {
            if (name != "") print "service " name "\t" active (active == "active" && file !~ /^(enabled|static|indirect|generated)$/ ? ", disabled" : "")
            name = active = file = ""
        }
        $1 == "Id" { name = $2 }
        $1 == "ActiveState" { active = $2 }
        $1 == "UnitFileState" { file = $2 }
        $0 == "" { line() }
        END { line() }'
}

# history — the ids that were live, the latest last, each once, as far as they are still there.
history() {
    [ -f "$generations/log" ] || return 0
    awk -F "$tab" '$2 != "-" { id[++n] = $2; at[$2] = n } END { for (i = 1; i <= n; i++) if (at[id[i]] == i) print id[i] }' \
        "$generations/log" | while IFS= read -r former; do
        [ ! -d "$generations/$former" ] || printf '%s\n' "$former"
    done
}

# report_status CHANGED — the JSON line of status and of the verbs that change it, from the map on stdin.
# CHANGED: a file of items that were mended, one a line.
report_status() {
    {
        printf 'string\tid\t%s\n' "$(cat "$root/id" 2>/dev/null || :)"
        printf 'string\tgeneration\t%s\nobject\tlive\n' "$(current)"
        sed "s/^/in${tab}live${tab}/"
        facts
        printf 'array\tgenerations\n'
        history | sed "s/^/item${tab}generations${tab}/"
        printf 'array\tchanged\n'
        sed "s/^/item${tab}changed${tab}/" "$1"
    } | json
}

facts() {
    IFS=' ' read -r machine_type kernel <<END
$(uname -mr | awk '{ print $2, $1 }')
END
    [ -d "$root" ] && place=$root || place=/
    printf 'in\tfacts\t%s\t%s\n' architecture "$machine_type" kernel "$kernel" os "$(os_name)" machine "$(machine_name)"
    printf 'in#\tfacts\t%s\t%s\n' cores "$(nproc)" memoryMb "$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)" \
        freeMb "$(free_mb "$place")"
    [ ! -f "$root/facts/tune.env" ] || {
        printf 'in\tfacts\ttuned\t%s\n' "$(sed '/^#/d; s/^POLLEX_TUNED=//' "$root/facts/tune.env" | tr '\n' ' ' | sed 's/ $//')"
        sed -n "s/^# fastest model: /in${tab}facts${tab}fastestModel${tab}/p" "$root/facts/tune.env"
    }
}

os_name() {
    # shellcheck source=/dev/null
    (. /etc/os-release 2>/dev/null && printf '%s' "${PRETTY_NAME:-$NAME}") || uname -s
}

# machine_name — what the firmware calls the board, or the host's own name.
machine_name() {
    if [ -r /proc/device-tree/model ]; then
        tr -d '\0' </proc/device-tree/model
    else
        cat /sys/class/dmi/id/product_name 2>/dev/null || uname -n
    fi
}
