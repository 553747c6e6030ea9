# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables are set or read by lib.sh
# tune.sh — finds out how the live llama-server is fastest on this host: llama-bench of the same source measures, the
# proof of the build judges what the winner computes, and the outcome lies in facts/, where `status --json` shows it.
#
# One setting after the other is varied, from what the unit has now; the best so far is kept. What counts is a polish:
# 300 tokens read and 200 written.

use status

# The paths of CUDA kernels that are off by default; a build without a GPU does not know them.
kernel_paths='GGML_CUDA_HALF2=1 GGML_CUDA_HGEMM=1'

# Tokens of one measurement.
tune_prompt=${POLLEX_TUNE_PROMPT:-256}
tune_answer=${POLLEX_TUNE_ANSWER:-32}

tune() {
    [ $# -eq 0 ] || die 2 "'tune' takes no argument"
    need_root_folder
    begun=$(now)
    find_live
    make_bench
    mkdir -p "$root/facts" "$root/log"
    log=$root/log/tune.log
    table=$root/facts/tune.table.new
    : >"$log"
    : >"$table"
    [ ! -d /run/systemd/system ] || {
        trap 'systemctl start "$unit"' EXIT
        trap 'exit 143' HUP INT TERM
        say "stopping $unit while its program is measured"
        systemctl stop "$unit"
    }
    search
    judge
    write_facts
}

# find_live — sets unit, server (its store path's name), model (a file) and what the unit says now.
find_live() {
    id=$(current)
    [ -n "$id" ] || die 1 "nothing is live: run the deployment first"
    IFS=$tab read -r unit path <<END
$(grep -- '-llama-server$' "$generations/$id/needs" 2>/dev/null | head -n 1)
END
    [ -n "$path" ] || die 1 "the live generation holds no llama-server"
    unit=$(unit_name "$unit")
    server=${path##*/}
    model=$(sed -n "s/^[^$tab]*$tab\(.*\.gguf\)\$/\1/p" "$generations/$id/links" | head -n 1)
    [ -f "$model" ] || die 1 "the live generation's model is missing: pollex-host status"
    layers=$(unit_option -ngl 0)
    best="$(unit_option -t "$(nproc)") 512 0 -"
}

# unit_option NAME DEFAULT — what the unit's command line gives.
unit_option() {
    given=$(tr -s ' \\\n' '\n' <"$generations/$id/units/$unit" | awk -v name="$1" 'found { print; exit } $0 == name { found = 1 }')
    printf '%s' "${given:-$2}"
}

# make_bench — llama-bench from the sheet of the server: the same source, patches and flags, so most of it is cached.
make_bench() {
    drv=$root/drv/$server
    [ -f "$drv/env" ] || die 1 "there is no sheet at $drv to make llama-bench from: run the deployment again"
    key=$(printf '%s llama-bench' "${server%%-*}" | sha256sum | cut -c -32)
    rm -rf -- "$root/drv/.new.$$"
    cp -R -- "$drv" "$root/drv/.new.$$"
    rm -rf -- "$root/drv/.new.$$/proof"
    printf "key='%s'\nname='llama-bench'\ntarget='llama-bench'\n" "$key" >>"$root/drv/.new.$$/env"
    keep_folder "$root/drv/.new.$$" "$root/drv/$key-llama-bench"
    sh "$here/pollex-host" ensure "$key" >/dev/null || exit
    bench=$root/store/$key-llama-bench/bin/llama-bench
}

# search — sets best: THREADS UBATCH FLASH KERNELS.
search() {
    measure "$best"
    best_ms=$ms
    first_ms=$ms
    half=$(($(nproc) / 2))
    for threads in "$(nproc)" "$half"; do
        [ "$threads" -lt 1 ] || better "$threads ${best#* }"
    done
    for ubatch in 256 128; do
        better "${best%% *} $ubatch $(printf '%s' "$best" | cut -d ' ' -f 3-)"
    done
    better "$(printf '%s' "$best" | cut -d ' ' -f 1-2) 1 -"
    [ "$layers" = 0 ] || for kernel in $kernel_paths; do
        better "$(printf '%s' "$best" | cut -d ' ' -f 1-3) $kernel"
    done
}

# better CANDIDATE — becomes the best if it is faster by more than noise.
better() {
    ! cut -f 1 "$table" | grep -qxF -- "$1" || return 0
    measure "$1"
    [ "$((ms * 100))" -ge "$((best_ms * 97))" ] || best=$1 best_ms=$ms
}

# measure CANDIDATE — sets ms, of a polish, and adds a line to the table: CANDIDATE, PROMPT tok/s, DECODE tok/s, MS.
measure() {
    IFS=' ' read -r threads ubatch flash kernel <<END
$1
END
    [ "$kernel" != - ] || kernel=POLLEX_KERNEL=default
    line=$(env "$kernel" "$bench" -m "$model" -ngl "$layers" -t "$threads" -ub "$ubatch" -b 512 -fa "$flash" \
        -p "$tune_prompt" -n "$tune_answer" -r 3 -o jsonl </dev/null 2>>"$log" | awk -f "$here/bench.awk") || line=''
    IFS=' ' read -r prompt decode ms <<END
${line:-0 0 999999999}
END
    printf '%s\t%s\t%s\t%s\n' "$1" "$prompt" "$decode" "$ms" >>"$table"
    if [ -n "$line" ]; then
        say "$(options_of "$1"): reads $prompt, writes $decode tokens a second"
    else
        say "$(options_of "$1"): cannot be used here ($(tail -n 1 "$log" | whole_text))"
    fi
}

# options_of CANDIDATE — as llama-server takes it.
options_of() {
    IFS=' ' read -r threads ubatch flash kernel <<END
$1
END
    printf '%s' "-t $threads -ub $ubatch"
    [ "$flash" = 0 ] || printf ' -fa'
    [ "$kernel" = - ] || printf ' with %s' "$kernel"
}

# judge — does the server compute rightly with the winner's options?
judge() {
    [ "$best_ms" -lt 999999999 ] || die 1 "nothing could be measured" "whole log: $(uname -n):$log"
    drv=$root/drv/$server
    IFS=' ' read -r threads ubatch flash kernel <<END
$best
END
    proof_options="-t $threads -ub $ubatch$([ "$flash" = 0 ] || printf ' -fa')"
    [ "$kernel" = - ] || export "${kernel?}"
    answer=$(computes "$root/store/$server/bin/llama-server") ||
        die 5 "with $(options_of "$best") it is fastest but computes wrongly: $(printf '%s' "$answer" | head -n 1)"
    say "$(options_of "$best"): computes rightly"
}

# write_facts — the winner, for the unit that adopts it and for people, and the table.
write_facts() {
    {
        printf 'POLLEX_TUNED=%s\n' "$(options_of "$best" | sed 's/ with .*//')"
        [ "$kernel" = - ] || printf '%s\n' "$kernel"
    } | write_file "$root/facts/tune.env"
    {
        printf 'string\twinner\t%s\nnumber\tmilliseconds\t%s\nnumber\tbefore\t%s\n' "$(options_of "$best")" "$best_ms" "$first_ms"
        printf 'string\tserver\t%s\nstring\tmodel\t%s\nobject\ttable\n' "$server" "${model##*/}"
        while IFS=$tab read -r candidate prompt decode ms <&3; do
            printf 'in\ttable\t%s\treads %s, writes %s tokens/s, %s ms\n' "$(options_of "$candidate")" "$prompt" "$decode" "$ms"
        done 3<"$table"
    } | json >"$root/facts/.tune.json"
    rm -f -- "$table"
    mv -f -- "$root/facts/.tune.json" "$root/facts/tune.json"
    say "fastest: $(options_of "$best"), $best_ms ms for a polish instead of $first_ms, after $(duration $(($(now) - begun)))"
    cat "$root/facts/tune.json"
}
