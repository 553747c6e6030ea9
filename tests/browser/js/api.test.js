import assert from "node:assert/strict";
import { test } from "node:test";

import { events } from "./api.js";
import { explain } from "./explain.js";

async function read(...pieces) {
    const result = [];
    for await (const event of events(pieces)) result.push(event);
    return result;
}

test("a stream means the same wherever the network cuts it", async () => {
    const stream =
        ': keep-alive\r\n\r\nevent: delta\r\ndata: {"text": "a: b"}\r\n\r\nevent: done\ndata: {}\n\ndata:1\ndata: 2\r\r';
    const whole = await read(stream + "\n");
    assert.deepEqual(whole, [
        { event: "delta", data: '{"text": "a: b"}' },
        { event: "done", data: "{}" },
        { event: "message", data: "1\n2" },
    ]);
    for (let at = 0; at <= stream.length; at++)
        assert.deepEqual(await read(stream.slice(0, at), stream.slice(at) + "\n"), whole);
    assert.deepEqual(await read(...stream, "\n"), whole);
});

test("an event that was cut off before its end is not taken for a whole one", async () => {
    assert.deepEqual(await read('event: done\ndata: {"polished": "x"}\n'), []);
});

test("a text that is too long is told with both counts and by how much to shorten it", () => {
    const told = { code: "text_too_long", size: 3000, most: 1500, unit: "tokens" };
    const said = explain({ status: 400, message: "in words that may change", ...told });
    assert.equal(said.title, "Too long: 3,000 tokens, at most 1,500 are possible");
    assert.match(said.advice, /about 50 %/);
    assert.equal(said.field, "text");
});

test("a model that is being loaded is not taken for a broken one", () => {
    const said = explain({ status: 503, message: "polish failed: x", code: "loading", retryAfter: 10 });
    assert.deepEqual([said.title, said.wait], ["The model is being loaded", 10]);
});

test("what is told to wait says how long, as the service said it or else a guess", () => {
    assert.equal(explain({ status: 503, message: "queue full", retryAfter: 42 }).wait, 42);
    assert.equal(explain({ status: 429, message: "rate limit exceeded" }).wait, 10);
    assert.equal(explain({ status: 502, message: "polish failed: x" }).wait, undefined);
});

test("an error that nobody foresaw still shows the service's own words", () => {
    assert.equal(explain({ status: 418, message: "i am a teapot" }).advice, "I am a teapot.");
});
