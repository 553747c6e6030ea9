# shellcheck shell=sh
# shellcheck disable=SC2154 # the variables of the tools are set by lib.sh
# gate.sh — a unit is healthy when its health URL says so and it completes a sentence, within a deadline. A unit whose
# health URL itself says that it can generate has no completion URL: `-`.

# Small enough to answer at once on any board, and long enough that an answer cannot be empty.
gate_request='{"messages":[{"role":"user","content":"Say hello."}],"max_tokens":8,"temperature":0}'

# pass_gates GENERATION — 0 when every unit of it is healthy.
pass_gates() {
    [ -f "$1/gates" ] || return 0
    while IFS=$tab read -r unit health completion seconds <&3; do
        [ -n "$unit" ] || continue
        pass_gate "$(unit_name "$unit")" "$health" "$completion" "$seconds" || return
    done 3<"$1/gates"
}

# pass_gate UNIT HEALTH COMPLETION SECONDS
pass_gate() {
    started=$(now) next=0 why='has not started'
    main_pid_before=$(main_pid "$1")
    restarts_before=$(restarts "$1")
    while :; do
        clock=$(($(now) - started))
        if healthy "$2" "$3" $(($4 - clock)); then
            # Somebody else may hold the port, so the answer counts only if the unit ran from before to after it.
            [ "$main_pid_before" != 0 ] && [ "$(main_pid "$1")" = "$main_pid_before" ] && return
            why='another process answers at its port'
        fi
        main_pid_before=$(main_pid "$1")
        gave_up "$1" && break
        clock=$(($(now) - started))
        if [ "$clock" -ge "$4" ]; then
            say "$1 is not healthy after $4 s: $why"
            break
        fi
        if [ "$clock" -ge "$next" ]; then
            say "$1: $why, $clock s of $4"
            next=$((clock + 5))
        fi
        sleep 1
    done
    last_words "$1" "$started" | sed 's/^/  /' | whole_text >&2 || :
    return 1
}

# last_words UNIT SINCE — the end of its journal, or, where it keeps restarting, the end of its last whole run: the
# reason stands there, and not in the beginning of the next one.
last_words() {
    journalctl -u "$1" --since "@$2" --no-pager -o cat -n 400 2>/dev/null | awk '
        { line[NR] = $0 }
        /: Main process exited|: Failed with result/ { last = NR }
        END {
            if (!last) last = NR
            for (n = last > 20 ? last - 19 : 1; n <= last; n++) print line[n]
        }'
}

# healthy HEALTH COMPLETION SECONDS — sets `why` when it is not.
healthy() {
    [ "$3" -gt 0 ] || return 1
    reply=$(curl -s --noproxy '*' -w '\n%{http_code}' --max-time 5 -- "$1" </dev/null) || :
    case $reply in
    *'
200') ;;
    '' | *000) why='starting' && return 1 ;;
    *'Loading model'*) why='loading the model' && return 1 ;;
    *) why="$1 answers $(shown "$reply")" && return 1 ;;
    esac
    [ "$2" != - ] || return 0
    why='asking for a completion'
    reply=$(curl -s -S --noproxy '*' --max-time "$3" -H 'Content-Type: application/json' -d "$gate_request" \
        -w '\n%{http_code}' -- "$2" </dev/null 2>&1) || :
    case $reply in
    *'
200') ;;
    *)
        why="$2 answers $(shown "$reply")"
        return 1
        ;;
    esac
    printf '%s' "$reply" | tr '\n' ' ' | grep -q '"content" *: *"[^"]' || {
        why="$2 answers without a text"
        return 1
    }
}

# shown REPLY — its status and the beginning of its body, on one line.
shown() {
    printf '%s: ' "${1##*
}"
    printf '%s' "${1%
*}" | tr '[:cntrl:]' ' ' | cut -c -300 | iconv -c -f UTF-8 -t UTF-8 || :
}

main_pid() {
    systemctl show -p MainPID --value "$1"
}

# restarts UNIT — how often systemd restarted it by itself; counted since systemd 235.
restarts() {
    systemctl show -p NRestarts --value "$1"
}

# gave_up UNIT — has it failed, or does it keep restarting? Once may be an accident.
gave_up() {
    case $(systemctl show -p ActiveState --value "$1") in
    failed | inactive)
        say "$1 has failed ($(systemctl show -p Result --value "$1"))"
        return
        ;;
    esac
    since_then=$(($(restarts "$1") - restarts_before))
    [ "$since_then" -ge 2 ] || return 1
    say "$1 keeps ending: restarted $since_then times"
}
