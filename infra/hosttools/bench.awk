# From llama-bench's two lines of JSON: PROMPT DECODE MS, tokens a second and the milliseconds of a polish (300 tokens
# read, 200 written). Ends with 1 when one of them is missing.

function number(name) {
    return match($0, "\"" name "\": *[0-9.]+") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) + 0 : 0
}

number("n_prompt") > 0 { prompt = number("avg_ts") }
number("n_gen") > 0 { decode = number("avg_ts") }

END {
    if (prompt <= 0 || decode <= 0) exit 1
    printf "%.1f %.1f %d\n", prompt, decode, 1000 * (300 / prompt + 200 / decode)
}
