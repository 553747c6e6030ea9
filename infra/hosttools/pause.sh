# shellcheck shell=sh
# shellcheck disable=SC2154 # variables are set or read by lib.sh and tune.sh
# pause.sh — takes the live server out of service for a while, and back through the gate that an activation has to pass.
#
# However the pause ends, the server runs again. Options that were found meanwhile are tried by a drop-in below /run, so
# that a power cut forgets them; they only become the host's own once the server is healthy with them.

use gate

# begin_pause — from here on, whatever ends this process ends the pause.
begin_pause() {
    exec 9<"$generations"
    flock -n 9 || die 9 "an activation is running: try again when it is done"
    child='' paused='' interrupted='' drop_in=''
    scratch=$(mktemp -d /tmp/pollex.XXXXXX)
    trap 'end_pause $?' EXIT
    trap 'interrupted=yes; exit 143' INT TERM
    # Whoever asked may go: a measurement of minutes is not lost with a connection.
    trap '' HUP PIPE
    [ -d /run/systemd/system ] || return 0
    drop_in=/run/systemd/system/$unit.d
    paused=yes
    forget_trial
    say "stopping $unit while its program is measured; this goes on when you leave"
    systemctl stop "$unit"
}

# attend COMMAND… — beside this shell, so that a signal need not wait for its end.
attend() {
    "$@" </dev/null 9<&- &
    child=$!
    ended=0
    wait "$child" || ended=$?
    child=''
    return "$ended"
}

# back_in_service OPTIONS — with the options of that file, where the unit adopts what is measured; ends with 7 where it
# is not healthy.
back_in_service() {
    [ -n "$paused" ] || return 0
    if adopts; then
        mkdir -p "$drop_in"
        cp -- "$1" "$drop_in/tune.env"
        printf '[Service]\nEnvironmentFile=\nEnvironmentFile=%s\n' "$drop_in/tune.env" >"$drop_in/pollex-tune.conf"
        systemctl daemon-reload
    fi
    start_and_ask || die 7 "$unit is unhealthy with what was measured to be fastest: what was in force before stays"
    # What follows is a few renames; a process that runs with these options must find them kept.
    trap '' INT TERM
    paused=''
}

# adopts — does the live unit take the options that were measured?
adopts() {
    # shellcheck disable=SC2016 # it is systemd that puts the options in
    grep -qF '$POLLEX_TUNED' "$generations/$id/units/$unit"
}

# start_and_ask — 0 when the unit has passed its gate.
start_and_ask() {
    systemctl reset-failed "$unit" 2>/dev/null || :
    # Whether it comes up is for the gate to say.
    systemctl restart "$unit" || :
    IFS=$tab read -r _ health completion seconds <<END
$(awk -F "$tab" -v unit="$unit" '$1 == unit || $1 ".service" == unit' "$generations/$id/gates" 2>/dev/null)
END
    [ -z "$health" ] || pass_gate "$unit" "$health" "$completion" "$seconds"
}

# forget_trial — the next start has the options that are the host's own.
forget_trial() {
    { [ -n "$drop_in" ] && [ -e "$drop_in/pollex-tune.conf" ]; } || return 0
    rm -f -- "$drop_in/pollex-tune.conf" "$drop_in/tune.env"
    rmdir -- "$drop_in" 2>/dev/null || :
    systemctl daemon-reload
}

# end_pause STATUS — as it was before, unless it is back in service already.
end_pause() {
    trap - EXIT
    trap '' INT TERM
    [ -z "$child" ] || {
        kill "$child" 2>/dev/null || :
        wait "$child" 2>/dev/null || :
    }
    rm -rf -- "$scratch"
    [ -n "$paused" ] || exit "$1"
    forget_trial
    if [ -n "$interrupted" ]; then
        systemctl reset-failed "$unit" 2>/dev/null || :
        systemctl restart --no-block "$unit"
    else
        start_and_ask || die 7 "$unit is unhealthy with what was in force before, too"
        say "$unit is back in service as it was"
    fi
    exit "$1"
}
