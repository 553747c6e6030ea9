# shellcheck shell=sh
# shellcheck disable=SC2154 # the variables of the sheet and of the tools are set by lib.sh
# proof.sh — a program that computes wrongly is not installed. The sheet of llama-server holds a tiny model, a request and
# the right answer (infra/proof); the model is served at a socket of its own, and what comes back is compared.

# Seconds for a start and an answer: a GPU's first start is slow, and the board may be busy.
proof_wait=${POLLEX_PROOF_WAIT:-300}

# computes PROGRAM — prints how right it is, or what is wrong.
computes() {
    [ ! -d "$drv/proof" ] || (prove "$1")
}

# prove PROGRAM — in a process of its own, which it ends.
prove() {
    begin_trial
    base64 -d <"$drv/proof/model" | gzip -dc >"$trial/model.gguf"
    # Options hold nothing to split on but the spaces between them.
    # shellcheck disable=SC2086
    serve_model 'a tiny model' "$1" -m "$trial/model.gguf" -ngl 999 -c 128 -np 1 ${proof_options:--t 2}
    ask "$trial/answer" /completion -H 'Content-Type: application/json' -d "@$drv/proof/request" ||
        proof_fails "it did not answer a request to a tiny model"
    tr '{' '\n' <"$trial/answer" | awk -f "$here/proof.awk" "$drv/proof/logprobs" -
}

# begin_trial — a folder and a server that end with this process.
begin_trial() {
    # The path of a socket has little room, and the build folder's may be long.
    trial=$(mktemp -d /tmp/pollex.XXXXXX) || exit
    server=''
    trap '[ -z "$server" ] || kill "$server" 2>/dev/null || :; rm -rf -- "$trial"' EXIT
    trap 'exit 143' HUP INT TERM
}

# serve_model WHAT PROGRAM OPTION… — at $trial/s.sock; comes back when it can be asked.
serve_model() {
    what=$1
    shift
    "$@" --host "$trial/s.sock" --no-warmup </dev/null >"$trial/log" 2>&1 9<&- &
    server=$!
    until ask "$trial/health" /health; do
        kill -0 "$server" 2>/dev/null || proof_fails "it ended while it loaded $what"
        proof_wait=$((proof_wait - 1))
        [ "$proof_wait" -gt 0 ] || proof_fails "it did not load $what in time"
        sleep 1
    done
}

# ask FILE PATH OPTION… — the reply into FILE, if it is one. Beside this shell, so that a signal need not wait for it.
ask() {
    reply=$1 place=$2
    shift 2
    curl -fsS --noproxy '*' --max-time "$proof_wait" --unix-socket "$trial/s.sock" -o "$reply" "$@" \
        "http://localhost$place" </dev/null 2>/dev/null 9<&- &
    wait "$!"
}

# proof_fails WHY
proof_fails() {
    echo "$1"
    whole_text <"$trial/log" | tail -n 20
    exit 1
}
