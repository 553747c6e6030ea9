# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables are set or read by lib.sh
# tune.sh — finds out how the live model is fastest on this host, and whether another file of it would be faster:
# llama-bench of the same source measures, what computes wrongly never wins, and the outcome lies in facts/, where
# `status --json` shows it.
#
# One setting after the other is varied, from what the unit has; the best so far is kept. What counts is a polish: 300
# tokens read and 200 written. Options are for the unit to adopt; which file is served is a declaration, because no
# measurement of speed can judge words.

use status pause candidate text variants

# The paths of CUDA kernels that are off by default: one matters to what is written, the other to what is read.
kernel_sets='GGML_CUDA_HALF2=1 GGML_CUDA_HGEMM=1 GGML_CUDA_HALF2=1,GGML_CUDA_HGEMM=1'

tune() {
    [ $# -eq 0 ] || die 2 "'tune' takes no argument"
    need_root_folder
    begun=$(now)
    find_live
    make_bench
    mkdir -p "$root/facts" "$root/log"
    log=$root/log/tune.log
    : >"$log"
    begin_pause
    [ "$(current)" = "$id" ] || die 9 "another generation became live meanwhile: try again"
    table=$scratch/table
    : >"$table"
    search_options
    search_kernels
    search_variants
    find_fastest
    write_options >"$scratch/tune.env"
    back_in_service "$scratch/tune.env"
    keep_facts
}

# find_live — sets unit, server (its store path's name), program, model (a file) and what the unit says now.
find_live() {
    id=$(current)
    [ -n "$id" ] || die 1 "nothing is live: run the deployment first"
    IFS=$tab read -r unit path <<END
$(grep -- '-llama-server$' "$generations/$id/needs" 2>/dev/null | head -n 1)
END
    [ -n "$path" ] || die 1 "the live generation holds no llama-server"
    unit=$(unit_name "$unit")
    server=${path##*/}
    program=$root/store/$server/bin/llama-server
    model=$(model_link "$generations/$id")
    [ -f "$model" ] || die 1 "the live generation's model is missing: pollex-host status"
    live_item=$(item_of "$model")
    layers=$(unit_option '-ngl --gpu-layers --n-gpu-layers' 0)
    context=$(unit_option '-c --ctx-size' 2048)
    first="$(unit_option '-t --threads' "$(nproc)") $(unit_option '-b --batch-size' 2048) $(unit_option '-ub --ubatch-size' 512)"
    first="$first $(unit_words | grep -qxe -fa -e --flash-attn && echo 1 || echo 0) -"
}

# unit_option NAMES DEFAULT — what the unit's command line gives last.
unit_option() {
    given=$(unit_words | awk -v names=" $1 " 'found { last = $0 } { found = index(names, " " $0 " ") } END { print last }')
    printf '%s' "${given:-$2}"
}

# unit_words — of its command line, one a line.
unit_words() {
    tr -s ' \\\n' '\n' <"$generations/$id/units/$unit"
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

# search_options — sets best, from first.
search_options() {
    best=$first
    measure "$model" "$first"
    [ "$ms" -lt "$never" ] || die 1 "nothing could be measured" "whole log: $(uname -n):$log"
    first_ms=$ms best_ms=$ms best_verdict="these are the unit's own options"
    proved "$first" || die 5 "it computes wrongly as it is: $verdict"
    for threads in "$(nproc)" $(($(nproc) / 2)); do
        [ "$threads" -lt 1 ] || better "$(changed 1 "$threads")" || :
    done
    for ubatch in 512 256 128; do
        better "$(changed 3 "$ubatch")" || :
    done
    # One that holds the whole prompt is as good as any larger one.
    for batch in 256 128; do
        better "$(changed 2 "$batch")" || :
    done
    better "$(changed 4 1)" || :
}

# search_kernels — each path by itself, since either may be a loss, and both together.
search_kernels() {
    wrong_kernels=''
    [ "$layers" != 0 ] || kernel_sets=''
    plain=$best
    for kernels in $kernel_sets; do
        better "${plain% *} $kernels" || wrong_kernels="$wrong_kernels $kernels "
    done
}

# search_variants — with the options that are best for the live model, and the kernels anew.
search_variants() {
    variants >"$scratch/variants"
    while IFS= read -r file <&4; do
        for kernels in - $kernel_sets; do
            case $wrong_kernels in *" $kernels "*) ;; *) measure "$file" "${best% *} $kernels" ;; esac
        done
    done 4<"$scratch/variants"
}

# changed FIELD VALUE — the best so far, but for one of its words.
changed() {
    printf '%s\n' "$best" | awk -v field="$1" -v value="$2" '{ $field = value; print }'
}

# better CANDIDATE — becomes the best if it is faster by more than noise; 1 if it would, but computes wrongly.
better() {
    ! cut -f 2 "$table" | grep -qxF -- "$1" || return 0
    measure "$model" "$1"
    [ "$((ms * 100))" -lt "$((best_ms * 97))" ] || return 0
    if proved "$1" && reads_alike "$1"; then
        say "  right: $verdict"
        best=$1 best_ms=$ms best_verdict=$verdict
        return
    fi
    say "  wrong, so it cannot win: $verdict"
    sed "\$s/\$/wrong: $(printf '%s' "$verdict" | sed 's/[\\&/]/\\&/g')/" "$table" >"$table.new"
    mv -- "$table.new" "$table"
    return 1
}

# find_fastest — sets fastest (a file), faster (how many times as fast as the live one) and verdict_on_files, of all
# that counts in the table.
find_fastest() {
    IFS=$tab read -r fastest fastest_ms <<END
$(awk -F "$tab" '$6 == "" && (!n++ || $5 < least) { least = $5; line = $1 "\t" $5 } END { print line }' "$table")
END
    if [ "$((fastest_ms * 100))" -ge "$((best_ms * 97))" ]; then
        fastest=$model faster=1 advice=''
        verdict_on_files="${model##*/}, which is served, of $(cut -f 1 "$table" | sort -u | wc -l) measured"
        return
    fi
    faster=$(awk -v live="$best_ms" -v other="$fastest_ms" 'BEGIN { printf "%.2f", live / other }')
    advice=$(how_to_serve "$fastest")
    verdict_on_files="${fastest##*/}, $faster times as fast as ${model##*/}, which is served: to change that, $advice"
}

# write_options — for the unit that adopts them; what follows a # is for people, and for `status`.
write_options() {
    printf '# fastest model: %s\nPOLLEX_TUNED=%s\n' "$verdict_on_files" "$(arguments "$best")"
    kernels_of "$best" | tr ' ' '\n'
}

# write_table — the whole of it as JSON.
write_table() {
    {
        printf 'string\twinner\t%s\nnumber\tmilliseconds\t%s\nnumber\tbefore\t%s\n' "$(options_of "$best")" "$best_ms" "$first_ms"
        printf 'string\ttext\t%s\nstring\tserver\t%s\nstring\tmodel\t%s\n' "$best_verdict" "$server" "${model##*/}"
        printf 'string\tfastest\t%s\nnumber\tfaster\t%s\nstring\tadvice\t%s\nobject\ttable\n' "${fastest##*/}" "$faster" "$advice"
        while IFS=$tab read -r file candidate prompt decode ms why <&3; do
            [ "$ms" -eq "$never" ] || why="reads $prompt, writes $decode tokens/s, $ms ms${why:+; $why}"
            printf 'in\ttable\t%s: %s\t%s\n' "${file##*/}" "$(options_of "$candidate")" "$why"
        done 3<"$table"
    } | json
}

# keep_facts — both files at once, as far as that can be: the table only says what was measured.
keep_facts() {
    trap '' INT TERM
    write_table | write_file "$root/facts/tune.json"
    write_file "$root/facts/tune.env" <"$scratch/tune.env"
    forget_trial
    say "fastest options: $(options_of "$best"), $best_ms ms for a polish instead of $first_ms, after $(duration $(($(now) - begun)))"
    say "fastest model: $verdict_on_files"
    [ -z "$advice" ] || say "what it writes is for people to judge: read some of its texts before it is served for good"
    cat "$root/facts/tune.json"
}
