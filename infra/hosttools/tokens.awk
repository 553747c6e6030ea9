# From llama-server's answer to a request with `n_probs`, each { at the beginning of a line: a line a token that it chose,
# NUMBER, LOG-PROBABILITY, TEXT (as JSON has it), and number and log-probability of the likeliest ones.

BEGIN { OFS = "\t" }

function number(name) {
    if (!match($0, "\"" name "\":-?[0-9][0-9.e+-]*")) return "none"
    return substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3)
}

function text() {
    return match($0, /"token":"([^"\\]|\\.)*/) ? substr($0, RSTART + 9, RLENGTH - 9) : ""
}

function flush_token() {
    if (chosen != "") print chosen, likely, says, others
    chosen = ""
}

# A token with a { in it breaks its own line: its number stands on the one before.
number("id") != "none" { id = number("id"); token = text() }

/"top_logprobs":/ {
    flush_token()
    chosen = id
    likely = number("logprob")
    says = token
    others = ""
    next
}

number("logprob") != "none" { others = others (others == "" ? "" : " ") id " " number("logprob") }

END { flush_token() }
