/**
 * A word-level diff that a person can review, and that loses nothing.
 *
 * A diff is a list of parts `{before, after}`. Where the two are equal the text is the same;
 * where they differ it is one change. All `before` joined are the first text, all `after` the second.
 *
 * @typedef {{before: string, after: string}} Part
 */

/**
 * Past so many inserted and deleted words two texts have too little in common for single words to
 * tell anything: what lies between their common ends is then one change. Bounds memory to about 16 MB.
 */
const MAX_EDITS = 2000;

/**
 * A word (apostrophes and hyphens inside belong to it), a line break, other white space, or one
 * character. Scripts that put no spaces between words are compared character by character.
 */
const TOKEN =
    /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]\p{M}*|[\p{L}\p{M}\p{N}_]+(?:['’-][\p{L}\p{M}\p{N}_]+)*|\r?\n|[^\S\r\n]+|./gsu;

/** The words, spaces and signs of a text; joined they are the text. */
export function tokens(text) {
    return text.match(TOKEN) ?? [];
}

/** @returns {Part[]} how `before` became `after` */
export function diff(before, after) {
    const [a, b] = [tokens(before), tokens(after)];
    const { start, end } = common(a, b);
    const parts = new Parts();
    for (const token of a.slice(0, start)) parts.same(token);
    for (const edit of shortest(a.slice(start, a.length - end), b.slice(start, b.length - end))) parts.add(edit);
    for (const token of a.slice(a.length - end)) parts.same(token);
    return trimmed(joinFragments(parts.list));
}

/** Whether a part is a change. */
export function isChange(part) {
    return part.before !== part.after;
}

/** The text that results when the changes in `rejected` (a Set of parts) are left out. */
export function resolve(parts, rejected) {
    return parts.map((part) => (rejected.has(part) ? part.before : part.after)).join("");
}

/** How many tokens two lists begin with alike, and end with alike after that. */
function common(a, b) {
    const shorter = Math.min(a.length, b.length);
    let start = 0;
    while (start < shorter && a[start] === b[start]) start++;
    let end = 0;
    while (end < shorter - start && a.at(-1 - end) === b.at(-1 - end)) end++;
    return { start, end };
}

/** Collects edits into parts: neighbours of one kind become one part. */
class Parts {
    list = [];

    same(token) {
        this.add({ before: token, after: token });
    }

    add(edit) {
        const last = this.list.at(-1);
        if (last && isChange(last) === isChange(edit)) {
            last.before += edit.before;
            last.after += edit.after;
        } else {
            this.list.push({ ...edit });
        }
    }
}

/**
 * Myers, "An O(ND) difference algorithm and its variations" (1986), on tokens.
 * `reached` holds, by diagonal k = x − y, how far into `a` the best path with d edits has come.
 */
function shortest(a, b) {
    const limit = Math.min(a.length + b.length, MAX_EDITS);
    const reached = new Int32Array(2 * limit + 3);
    const middle = limit + 1;
    const rounds = [];
    for (let d = 0; d <= limit; d++) {
        rounds.push(reached.slice(middle - d - 1, middle + d + 2));
        for (let k = -d; k <= d; k += 2) {
            const down = k === -d || (k !== d && reached[middle + k - 1] < reached[middle + k + 1]);
            let x = down ? reached[middle + k + 1] : reached[middle + k - 1] + 1;
            while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
            reached[middle + k] = x;
            if (x >= a.length && x - k >= b.length) return trace(a, b, rounds);
        }
    }
    return [{ before: a.join(""), after: b.join("") }];
}

/** The edits of the path that `rounds` (what was reached before each round) leads back along. */
function trace(a, b, rounds) {
    const edits = [];
    let [x, y] = [a.length, b.length];
    for (let d = rounds.length - 1; d >= 0; d--) {
        const before = (k) => rounds[d][k + d + 1];
        const k = x - y;
        const down = k === -d || (k !== d && before(k - 1) < before(k + 1));
        const fromK = down ? k + 1 : k - 1;
        const fromX = d === 0 ? 0 : before(fromK);
        const fromY = d === 0 ? 0 : fromX - fromK;
        while (x > fromX && y > fromY) {
            edits.push({ before: a[--x], after: b[--y] });
        }
        if (d > 0) {
            edits.push(down ? { before: "", after: b[--y] } : { before: a[--x], after: "" });
        }
    }
    return edits.reverse();
}

/**
 * Joins neighbouring changes that only a space parts, because "have went" → "had gone there" is one
 * decision. Single words that each became a single word stay apart: they are decisions of their own.
 */
function joinFragments(parts) {
    const joined = [];
    for (const part of parts) {
        const [change, gap] = [joined.at(-2), joined.at(-1)];
        if (change && isChange(change) && isChange(part) && isFragment(change, gap, part)) {
            const both = [change, gap, part];
            const join = (side) => both.map((each) => each[side]).join("");
            joined.splice(-2, 2, { before: join("before"), after: join("after") });
        } else {
            joined.push(part);
        }
    }
    return joined;
}

/** The parts, each change without what its two sides begin or end with alike. */
function trimmed(parts) {
    const result = new Parts();
    for (const part of parts) {
        const [a, b] = [tokens(part.before), tokens(part.after)];
        const { start, end } = common(a, b);
        for (const token of a.slice(0, start)) result.same(token);
        const [before, after] = [a, b].map((side) => side.slice(start, side.length - end).join(""));
        if (before !== after) result.add({ before, after });
        for (const token of a.slice(a.length - end)) result.same(token);
    }
    return result.list;
}

function isFragment(change, gap, next) {
    return /^[^\S\n]+$/.test(gap.after) && !(isWordForWord(change) && isWordForWord(next));
}

function isWordForWord(part) {
    return [part.before, part.after].every((side) => tokens(side).length === 1 && /[\p{L}\p{N}]/u.test(side));
}
