import assert from "node:assert/strict";
import { test } from "node:test";

import { diff, isChange, resolve, tokens } from "./diff.js";

/** Changes as "before|after". */
const changes = (before, after) =>
    diff(before, after)
        .filter(isChange)
        .map((part) => `${part.before}|${part.after}`);

/** A generator of texts that is the same on every run (mulberry32). */
function texts(seed) {
    const random = () => {
        seed = (seed + 0x6d2b79f5) | 0;
        let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
    const pieces = [
        "the",
        "a",
        "cat",
        "don't",
        "é",
        "e\u0301",
        "你",
        "好",
        "👩‍💻",
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        ".",
        ",",
        "`",
        "",
        "x_1",
        "\ud800",
    ];
    return () =>
        Array.from({ length: Math.floor(random() * 30) }, () => pieces[Math.floor(random() * pieces.length)]).join("");
}

test("no character is lost: all accepted is the polished text, all rejected the original", () => {
    const text = texts(1);
    for (let round = 0; round < 2000; round++) {
        const [before, after] = [text(), text()];
        const parts = diff(before, after);
        assert.equal(resolve(parts, new Set()), after);
        assert.equal(resolve(parts, new Set(parts)), before);
        assert.equal(tokens(before).join(""), before);
    }
});

test("changes and unchanged text alternate, so that no decision is asked for twice or about nothing", () => {
    const text = texts(2);
    for (let round = 0; round < 2000; round++) {
        const parts = diff(text(), text());
        for (const [index, part] of parts.entries()) {
            assert.notEqual(part.before + part.after, "");
            if (index > 0) assert.notEqual(isChange(part), isChange(parts[index - 1]), JSON.stringify(parts));
        }
    }
});

test("two misspelt words side by side are two decisions", () => {
    assert.deepEqual(changes("teh libary is open", "the library is open"), ["teh|the", "libary|library"]);
});

test("a rewritten phrase is one decision, without the space after it", () => {
    assert.deepEqual(changes("I have recieve it", "I received it"), ["have recieve|received"]);
    assert.deepEqual(changes("I very much like it", "I love it"), ["very much like|love"]);
});

test("a sentence cut in two is one decision: half of it would be wrong", () => {
    assert.deepEqual(changes("no bread, so he left", "no bread. So he left"), [", so|. So"]);
});

test("an apostrophe or a hyphen does not cut a word in two", () => {
    assert.deepEqual(changes("I dont know", "I don't know"), ["dont|don't"]);
    assert.deepEqual(changes("a well known fact", "a well-known fact"), ["well known|well-known"]);
});

test("an inserted word takes one space with it, so that rejecting it leaves no double space", () => {
    const parts = diff("He went store.", "He went to the store.");
    assert.deepEqual(changes("He went store.", "He went to the store."), ["|to the "]);
    assert.equal(resolve(parts, new Set(parts)), "He went store.");
});

test("languages without spaces are compared by character, not by paragraph", () => {
    assert.deepEqual(changes("我今天很高心。", "我今天很高兴。"), ["心|兴"]);
});

test("equal texts have no change", () => {
    assert.deepEqual(changes("Same.\n", "Same.\n"), []);
    assert.deepEqual(diff("", ""), []);
});

test("two long texts with nothing in common neither freeze the page nor lose a word", () => {
    const [before, after] = ["a", "b"].map((prefix) => Array.from({ length: 5000 }, (_, n) => prefix + n).join(" "));
    const parts = diff(before, after);
    assert.equal(resolve(parts, new Set()), after);
    assert.equal(resolve(parts, new Set(parts)), before);
});
