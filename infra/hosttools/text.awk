# Compares two files of lines as tokens.awk writes them: the text that the unit's own options wrote, and what other
# options would have written at each of its places. Ends with 1 when rounding cannot explain how they differ (text.sh).

BEGIN { FS = "\t" }

# share LINE TOKEN — the log-probability of a token among a line's likeliest ones, or "none".
function share(list, wanted,    all, n, i) {
    n = split(list, all, " ")
    for (i = 1; i < n; i += 2) if (all[i] == wanted) return all[i + 1]
    return "none"
}

NR == FNR { own[++places] = $1; sure[places] = $2; says[places] = $3; likely[places] = $4; next }

{
    place++
    p = share($4, own[place])
    if (p != "none") { off += p > sure[place] ? p - sure[place] : sure[place] - p; compared++ }
    if ($1 == own[place]) next
    p = share(likely[place], $1)
    # half as likely is ln 2 less
    if ((p == "none" || p < sure[place] - 0.6932) && wrong == "")
        wrong = "token " place " of a text is \"" $3 "\", not \"" says[place] "\""
    ties++
}

END {
    if (wrong == "" && places < 8) wrong = "the model wrote no text to compare: " places + 0 " tokens"
    if (wrong == "" && place != places) wrong = "it gave " place + 0 " of the " places " tokens of a text"
    if (wrong == "" && ties * 8 > places) wrong = ties " of the " places " tokens of a text are others"
    if (wrong != "") { print wrong; exit 1 }
    printf "%d of %d tokens of a text are the same%s; log-probabilities %.3f off\n", places - ties, places, \
        ties ? ", the others about as likely" : "", compared ? off / compared : 0
}
