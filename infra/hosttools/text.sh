# shellcheck shell=sh
# shellcheck disable=SC2154 # variables are set or read by lib.sh and tune.sh
# text.sh — do other options make the live model write something else? With the unit's own options it writes a text,
# greedily; with the others it is led through that text and asked, at each place, for the next token.
#
# Threads, batches and kernels round in other ways, so two tokens that are about equally likely may change places, and
# after that two texts have nothing to do with each other. So each place counts by itself: the same token must come, but
# for one place in eight, where the unit's own options held the other token at least half as likely.

text_tokens=${POLLEX_TUNE_TEXT:-48}
text_prompt='The text below was written in a hurry. Correct spelling and grammar, and change nothing else.\n\nText: '
text_prompt=$text_prompt'Yesterday me and my sister goes to the libary, because she have to bring back three book that was '
text_prompt=$text_prompt'overdue since two week. The women at the desk were very freindly and she dont wanted any money from us. '
text_prompt=$text_prompt'After that we was eating a ice cream in the park, and it begun to rain so hard that we runned all the '
text_prompt=$text_prompt'way home.\n\nCorrected text:'

# own_text — into $scratch/own, a line a token.
own_text() {
    begin_trial
    serve_live "$first"
    : >"$scratch/own"
    next_tokens '' "$text_tokens" "$scratch/own"
}

# led_text CANDIDATE — what it would write at each place of $scratch/own, into $scratch/led.
led_text() {
    begin_trial
    serve_live "$1"
    : >"$scratch/led"
    so_far=''
    while IFS=$tab read -r token _ <&3; do
        next_tokens "$so_far" 1 "$scratch/led"
        so_far=$so_far,$token
    done 3<"$scratch/own"
}

# serve_live CANDIDATE — the live program and model, with what of the unit's options decides a text.
serve_live() {
    export_kernels "$1"
    # shellcheck disable=SC2046 # options hold nothing to split on but the spaces between them
    serve_model 'the model' "$program" -m "$model" -ngl "$layers" -c "$context" -np 1 $(arguments "$1")
}

# next_tokens SO-FAR COUNT FILE — after the prompt and the tokens so far, each with a comma before it.
next_tokens() {
    asked="\"$text_prompt\""
    [ -z "$1" ] || asked="[$asked$1]"
    ask "$trial/answer" /completion -H 'Content-Type: application/json' \
        -d "{\"prompt\":$asked,\"n_predict\":$2,\"temperature\":0,\"n_probs\":10,\"cache_prompt\":true}" ||
        proof_fails "it did not answer a request to the model"
    tr '{' '\n' <"$trial/answer" | awk -f "$here/tokens.awk" >>"$3"
}
