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
    # The path of a socket has little room, and the build folder's may be long.
    trial=$(mktemp -d /tmp/pollex.XXXXXX) || exit
    server=''
    trap '[ -z "$server" ] || kill "$server" 2>/dev/null || :; rm -rf -- "$trial"' EXIT
    trap 'exit 143' HUP INT TERM
    base64 -d <"$drv/proof/model" | gzip -dc >"$trial/model.gguf"
    # Options hold nothing to split on but the spaces between them.
    # shellcheck disable=SC2086
    "$1" -m "$trial/model.gguf" --host "$trial/s.sock" -ngl 999 -c 128 -np 1 ${proof_options:--t 2} --no-warmup \
        </dev/null >"$trial/log" 2>&1 9<&- &
    server=$!
    until ask "$trial/health" /health; do
        kill -0 "$server" 2>/dev/null || proof_fails "it ended while it loaded a tiny model"
        proof_wait=$((proof_wait - 1))
        [ "$proof_wait" -gt 0 ] || proof_fails "it did not load a tiny model in time"
        sleep 1
    done
    ask "$trial/answer" /completion -H 'Content-Type: application/json' -d "@$drv/proof/request" ||
        proof_fails "it did not answer a request to a tiny model"
    tr '{' '\n' <"$trial/answer" | awk -f "$here/proof.awk" "$drv/proof/logprobs" -
}

# ask FILE PATH OPTION… — the reply into FILE, if it is one.
ask() {
    reply=$1 place=$2
    shift 2
    curl -fsS --noproxy '*' --max-time "$proof_wait" --unix-socket "$trial/s.sock" -o "$reply" "$@" \
        "http://localhost$place" </dev/null 2>/dev/null
}

# proof_fails WHY
proof_fails() {
    echo "$1"
    whole_text <"$trial/log" | tail -n 20
    exit 1
}
