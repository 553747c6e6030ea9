# From a build's log: PERCENT STEPS|- [SECONDS LEFT], or nothing when no step was done yet.
# all: the steps that the first start of this compile had, 0 if unknown; spent: seconds since it started this time.
# After an interruption ninja counts only what is left, so what it no longer counts was done before.

/^== phase compile/ { done = of = percent = 0; first = -1 }

# ninja: [51/121] Building …
/^\[[0-9]+\/[0-9]+\]/ {
    split(substr($1, 2), n, /[^0-9]+/)
    done = n[1] + 0
    of = n[2] + 0
}

# make: [ 42%] Building …
/^\[ *[0-9]+%\]/ {
    text = $0
    sub(/^\[ */, "", text)
    percent = text + 0
    if (first < 0) first = percent
}

END {
    if (of) {
        if (all < of) all = of
        printf "%d %d/%d", 100 * (all - of + done) / all, all - of + done, all
        if (done > 1 && spent > 5) printf " %d", spent * (of - done) / done
    } else if (percent > 0) {
        printf "%d -", percent
        if (percent > first && spent > 5) printf " %d", spent * (100 - percent) / (percent - first)
    }
}
