/**
 * A text and what the model proposed for it, as a row of parts.
 *
 * A part is a stretch of the author's text that stays (`{text}`, with `kept` where it stayed because no good answer
 * came: the reason in words), or a change (`{change}`), which is in the text or not.
 *
 * @typedef {{start: number, end: number, before: string, after: string, kind: string, verdict: "taken" | "offered" |
 *     "refused", reason: string, message: string}} Change  `start` and `end` count code points of the author's text
 * @typedef {{start: number, end: number, reason: string, message: string}} Kept
 * @typedef {{text: string, kept?: string} | {change: Change}} Part
 */

/**
 * @param {string} text  the author's
 * @param {Change[]} changes  in their order; they do not overlap
 * @param {Kept[]} kept
 * @returns {Part[]} in the order of the text
 */
export function parts(text, changes, kept) {
    const letters = [...text]; // by code points, as the service counts
    const row = [];
    let at = 0;
    const stay = (end) => {
        for (const stretch of stretches(at, end, kept)) {
            const words = letters.slice(stretch.start, stretch.end).join("");
            row.push(stretch.kept ? { text: words, kept: stretch.kept } : { text: words });
        }
        at = Math.max(at, end);
    };
    for (const change of changes) {
        stay(change.start);
        row.push({ change });
        at = change.end;
    }
    stay(letters.length);
    return row;
}

/** What lies between two places, cut where something that was kept begins or ends. */
function stretches(start, end, kept) {
    const cuts = kept.flatMap((one) => [one.start, one.end]).filter((cut) => cut > start && cut < end);
    const ends = [...new Set([...cuts, end])].sort((a, b) => a - b);
    const found = [];
    for (const to of ends) {
        const from = found.at(-1)?.end ?? start;
        const within = kept.find((one) => one.start <= from && to <= one.end);
        if (from < to) found.push({ start: from, end: to, kept: within?.message });
    }
    return found;
}

/**
 * @param {Part[]} row
 * @param {Set<Change>} accepted
 * @returns {string} the text with these changes and no others
 */
export function resolve(row, accepted) {
    return row
        .map((part) => (part.change ? (accepted.has(part.change) ? part.change.after : part.change.before) : part.text))
        .join("");
}
