# shellcheck shell=sh
# shellcheck disable=SC2154 # the variables of the sheet and of the tools are set by lib.sh
# follow.sh — watches a build that goes on elsewhere. It only reads: any number of followers, any of which may die.
#
# The build writes one line into build/<key>/state:  PHASE SINCE COUNT DETAIL
#   SINCE is in seconds since the epoch; COUNT is the number of steps of a compile, or the exit status of `failed`.

# building — does the build of the loaded sheet run, as a unit or by hand?
building() {
    [ -d "$work" ] && ! flock -n "$work" true && return
    systemctl is-active -q "pollex-build@$key.service" 2>/dev/null
}

# read_state — sets phase, since, count and detail; phase is empty when no build has begun.
read_state() {
    phase='' since=0 count=0 detail=''
    [ -f "$work/state" ] || return 0
    IFS=' ' read -r phase since count detail <"$work/state" || :
}

# follow — returns when the store path is there; ends with the build's own exit status when it failed.
follow() {
    said='' next=0
    until [ -d "$store" ]; do
        if ! building; then
            [ ! -d "$store" ] || break
            build_failed
        fi
        read_state
        clock=$(now)
        if [ "$phase" = failed ]; then
            # The build is about to end, and then building() says so.
            next=$clock
        elif [ "$clock" -ge "$next" ] || [ "$phase" != "$said" ]; then
            say "$label: $(what_now)"
            said=$phase
            next=$((clock + poll))
        fi
        sleep 1
    done
}

# what_now — the phase in words.
what_now() {
    spent=$(duration $((clock - since)))
    case $phase in
    packages) echo "installing the compilers, $spent" ;;
    source) echo "getting the source from $detail, $spent" ;;
    patch) echo "applying the patches" ;;
    configure) echo "configuring with CMake, $spent" ;;
    compile) echo "compiling$(compiled)" ;;
    check) echo "running it once" ;;
    proof) echo "checking what it computes, $spent" ;;
    install) echo "installing it into the store" ;;
    *) echo "waiting for the build to begin" ;;
    esac
}

# compiled — how far the compile is: " 42% (51/121), about 48 min left".
compiled() {
    IFS=' ' read -r percent steps left <<END
$(awk -v all="$count" -v spent=$((clock - since)) -f "$here/compiled.awk" "$log" 2>/dev/null)
END
    [ -z "$percent" ] || printf ' %s%%' "$percent"
    [ "${steps:--}" = - ] || printf ' (%s)' "$steps"
    [ -z "$left" ] || printf ', about %s left' "$(duration "$left")"
}

# build_failed — says why the build ended without a store path, and ends with its exit status.
build_failed() {
    read_state
    where=$(uname -n):$log
    if [ "$phase" != failed ]; then
        result=$(systemctl show -p Result --value "pollex-build@$key.service" 2>/dev/null || :)
        no_space_left && die 6 "the build of $label ended: $(space_advice)" "whole log: $where"
        die 5 "the build of $label was stopped before it was done (${result:-unknown}); the next ensure goes on with it" \
            "whole log: $where"
    fi
    printf 'pollex: build of %s failed on %s after %s\n' "$label" "$(uname -n)" "$(duration "$detail")" >&2
    case $count in
    # What the tools found out for themselves.
    2 | 3 | 4 | 8) this_run "$log" | sed -n 's/^pollex: /  /p' | whole_text | tail -n 60 >&2 ;;
    *)
        this_run "$log" | awk '/^== phase/ { n = 0 } sub(/^pollex: /, "  ") { line[++n] = $0 } END { for (i = 1; i <= n; i++) print line[i] }' >&2
        real_error "$log" >&2
        ;;
    esac
    [ "$count" != 6 ] || printf '  %s\n' "$(space_advice)" >&2
    printf '  whole log: %s\n' "$where" >&2
    exit "$count"
}

# this_run LOG — the log since the build last began.
this_run() {
    awk '/^== begin/ { n = 0 } { line[++n] = $0 } END { for (i = 1; i <= n; i++) print line[i] }' "$1" 2>/dev/null || :
}

# real_error LOG — up to 60 lines from where the first thing went wrong, which is seldom the end of the log.
real_error() {
    this_run "$1" | grep -v '^pollex: ' | awk '
        { line[++n] = $0 }
        !first && /^FAILED: |(^|[^a-z_])error: |^CMake Error|undefined reference|: not found$|^make.*\*\*\*|Killed/ { first = n }
        END {
            from = first ? first : (n > 60 ? n - 59 : 1)
            for (i = from; i <= n && shown < 60; i++) if (line[i] !~ /^\[[0-9]+\/[0-9]+\]|^\[ *[0-9]+%\]/) { print "  " line[i]; shown++ }
        }' | whole_text
    if this_run "$1" | grep -q 'Killed signal terminated program'; then
        echo "  the compiler was killed for want of memory: lower pollex:build.jobs"
    fi
}

# no_space_left — is that what ended this build?
no_space_left() {
    [ "$(free_mb "$root")" -lt 16 ] || this_run "$log" | grep -q 'No space left on device'
}

space_advice() {
    echo "no space left: $(free_mb "$root") MB free at $root; make room (pollex-host gc), or choose a larger disk"
}
