import assert from "node:assert/strict";
import { test } from "node:test";

import { parts, resolve } from "./parts.js";

const change = (start, end, before, after) => ({ start, end, before, after, verdict: "taken", message: "" });

test("all accepted is the polished text, none the author's", () => {
    const changes = [change(0, 3, "Teh", "The"), change(7, 7, "", ","), change(8, 12, "dont", "")];
    const row = parts("Teh cat dont.", changes, []);
    assert.equal(resolve(row, new Set(changes)), "The cat, .");
    assert.equal(resolve(row, new Set()), "Teh cat dont.");
    assert.equal(resolve(row, new Set([changes[1]])), "Teh cat, dont.");
});

test("places are code points, so that an emoji before a change does not move it", () => {
    const changes = [change(2, 5, "teh", "the")];
    assert.equal(resolve(parts("👍 teh 👩‍💻", changes, []), new Set(changes)), "👍 the 👩‍💻");
});

test("what was kept is marked with its reason and loses nothing beside a change", () => {
    const changes = [change(0, 3, "Teh", "The")];
    const row = parts("Teh cat.\nWhat is it?\nEnd.", changes, [{ start: 9, end: 20, message: "Answered." }]);
    assert.deepEqual(
        row.filter(({ kept }) => kept),
        [{ text: "What is it?", kept: "Answered." }],
    );
    assert.equal(resolve(row, new Set(changes)), "The cat.\nWhat is it?\nEnd.");
});

test("a text without proposals is one part, or several where a part of it was kept", () => {
    assert.deepEqual(parts("ab", [], []), [{ text: "ab" }]);
    assert.deepEqual(parts("ab", [], [{ start: 0, end: 2, message: "m" }]), [{ text: "ab", kept: "m" }]);
    assert.deepEqual(parts("", [], []), []);
});
