# Compares llama-server's answer with the right one: `tolerance T`, then a line a step: TOKEN, and the log-probability of
# every token by its number. The answer comes with each { at the beginning of a line.

function number(name) {
    if (!match($0, "\"" name "\":-?[0-9][0-9.e+-]*")) return "none"
    return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3)
}

FNR == NR && $1 == "tolerance" { tolerance = $2; next }
FNR == NR {
    steps++
    token[steps] = $1
    for (i = 2; i <= NF; i++) right[steps, i - 2] = $i
    values += NF - 1
    next
}

/"top_logprobs":/ {
    step++
    if (number("id") != token[step] && wrong == "")
        wrong = "token " step " is " number("id") ", not " token[step]
    next
}

/"logprob":/ {
    id = number("id")
    p = number("logprob")
    if (p == "none" || !((step, id) in right)) next
    seen++
    off = p - right[step, id]
    if (off < 0) off = -off
    if (off > worst) { worst = off; where = "of token " id " at step " step " is " p ", not " right[step, id] }
}

END {
    if (seen != values) {
        print "it answered with " seen + 0 " of " values " log-probabilities"
        exit 1
    }
    if (!(worst <= tolerance) || wrong != "") {
        print (wrong == "" ? "" : wrong "; ") "the log-probability " where " (" worst " off, " tolerance " allowed)"
        exit 1
    }
    print "largest error " worst ", allowed " tolerance
}
