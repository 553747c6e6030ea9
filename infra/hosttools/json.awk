# Turns lines of tab-separated fields into one JSON object on one line; the lines are listed at `json` in lib.sh.
# Nothing here needs more than POSIX awk: the boards have mawk 1.3.3.

BEGIN {
    for (i = 1; i < 32; i++) escaped[sprintf("%c", i)] = sprintf("\\u%04x", i)
    escaped["\n"] = "\\n"
    escaped["\t"] = "\\t"
    escaped["\r"] = "\\r"
    escaped["\""] = "\\\""
    escaped["\\"] = "\\\\"
}

function quoted(text,    i, c, out) {
    if (text !~ /[\\"\001-\037]/) return "\"" text "\""
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        out = out (c in escaped ? escaped[c] : c)
    }
    return "\"" out "\""
}

# rest(N) — field N and all that follow, since the last value may hold tabs.
function rest(n,    i, out) {
    out = $n
    for (i = n + 1; i <= NF; i++) out = out FS $i
    return out
}

function member(key, open, close_, text) {
    if (!(key in value)) {
        order[++count] = key
        value[key] = ""
        before[key] = open
        after[key] = close_
    }
    if (text != "") value[key] = value[key] (value[key] == "" || open == "" ? "" : ",") text
}

$1 == "string" { member($2, "", "", quoted(rest(3))) }
$1 == "number" { member($2, "", "", $3 + 0) }
$1 == "object" { member($2, "{", "}", "") }
$1 == "in" { member($2, "{", "}", quoted($3) ":" quoted(rest(4))) }
$1 == "in#" { member($2, "{", "}", quoted($3) ":" ($4 + 0)) }
$1 == "array" { member($2, "[", "]", "") }
$1 == "item" { member($2, "[", "]", quoted(rest(3))) }

END {
    for (i = 1; i <= count; i++) {
        key = order[i]
        out = out (i > 1 ? "," : "") quoted(key) ":" before[key] value[key] after[key]
    }
    print "{" out "}"
}
