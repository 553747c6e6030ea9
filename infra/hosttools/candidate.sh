# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables are set or read by lib.sh and tune.sh
# candidate.sh — one way to run the live program: measured, and judged.
#
# It is five words: THREADS BATCH MICRO-BATCH FLASH-ATTENTION KERNELS. The kernels are variables joined by
# commas, or `-`.

# Tokens of one measurement.
tune_prompt=${POLLEX_TUNE_PROMPT:-300}
tune_answer=${POLLEX_TUNE_ANSWER:-32}
# Seconds for it: nobody is served meanwhile, so what hangs must end.
tune_wait=${POLLEX_TUNE_WAIT:-1200}
never=999999999

# measure FILE CANDIDATE — sets ms, of a polish, and adds to the table: FILE, CANDIDATE, PROMPT tok/s, DECODE tok/s, MS,
# and why it does not count.
measure() {
    # shellcheck disable=SC2046 # neither options nor variables hold anything to split on but the spaces between them
    attend timeout "$tune_wait" env $(kernels_of "$2") "$bench" -m "$1" -ngl "$layers" $(bench_arguments "$2") \
        -p "$tune_prompt" -n "$tune_answer" -r 3 -o jsonl >"$scratch/measured" 2>>"$log" ||
        [ "$ended" != 124 ] || echo "it did not end within $tune_wait s" >>"$log"
    line=$(awk -f "$here/bench.awk" "$scratch/measured") || line="0 0 $never"
    IFS=' ' read -r prompt decode ms <<END
$line
END
    why=''
    [ "$ms" -lt "$never" ] || why="cannot be used here ($(tail -n 1 "$log" | whole_text | tr "$tab" ' '))"
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$prompt" "$decode" "$ms" "$why" >>"$table"
    say "${1##*/}, $(options_of "$2"): ${why:-reads $prompt, writes $decode tokens a second}"
}

# arguments CANDIDATE — as llama-server takes it.
arguments() {
    printf '%s\n' "$1" | awk '{ printf "-t %s -b %s -ub %s%s", $1, $2, $3, $4 ? " -fa" : "" }'
}

# bench_arguments CANDIDATE — as llama-bench takes it.
bench_arguments() {
    printf '%s\n' "$1" | awk '{ printf "-t %s -b %s -ub %s -fa %s", $1, $2, $3, $4 }'
}

# kernels_of CANDIDATE — the variables, with spaces between them.
kernels_of() {
    printf '%s' "${1##* }" | tr , ' ' | sed 's/^-$//'
}

# export_kernels CANDIDATE — for a process of its own.
export_kernels() {
    for variable in $(kernels_of "$1"); do
        export "${variable?}"
    done
}

# options_of CANDIDATE — for people.
options_of() {
    arguments "$1"
    [ "${1##* }" = - ] || printf ' with %s' "$(kernels_of "$1")"
}

# proved CANDIDATE — does the program give the known answers with it? Sets verdict.
proved() {
    drv=$root/drv/$server
    proof_options=$(arguments "$1")
    [ -d "$drv/proof" ] || return 0
    judged proved_by_itself "$1"
}

proved_by_itself() {
    export_kernels "$1"
    prove "$program"
}

# reads_alike CANDIDATE — does the live model write with it what it writes with the unit's own options? Sets verdict.
reads_alike() {
    [ -f "$scratch/own" ] || judged own_text || die 5 "the live model cannot be asked: $verdict"
    judged led_text "$1" && judged awk -f "$here/text.awk" "$scratch/own" "$scratch/led"
}

# judged COMMAND… — sets verdict to the first line that it says.
judged() {
    rightly=0
    attend "$@" >"$scratch/verdict" 2>>"$log" || rightly=$?
    verdict=$(head -n 1 "$scratch/verdict" | tr "$tab" ' ')
    return "$rightly"
}
