/** What the model proposed for a text, on the page: each change to be accepted or rejected. */

/** As many words on both sides are no mended words any more, but another sentence. */
const REWRITTEN = 5;

/** The kinds of changes, in the order in which they are shown. */
export const KINDS = {
    spelling: "Spelling",
    punctuation: "Punctuation",
    capitals: "Capitals",
    grammar: "Grammar",
    wording: "Wording",
    deletion: "Words left out",
    insertion: "Words put in",
};

import { make } from "./dom.js";
import { parts, resolve } from "./parts.js";

export class Review extends EventTarget {
    /** @type {import("./parts.js").Part[]} */
    #parts = [];
    /** One checkbox per change, in the text's order; checked means that it is in the text. */
    #boxes = [];
    #current = 0;
    /** Kinds that a person does not want to look at: what they did not decide of them stays as it was written. */
    #off = new Set();

    /** @param {HTMLElement} element  where the changes are shown */
    constructor(element) {
        super();
        this.element = element;
        element.addEventListener("focusin", ({ target }) => this.select(this.#boxes.indexOf(target)));
        element.addEventListener("click", (event) => this.#click(event));
        element.addEventListener("change", ({ target }) => {
            this.#settle(target, target.checked);
            this.#changed();
        });
        element.addEventListener("keydown", (event) => this.#key(event));
    }

    /**
     * Shows a text with what was proposed for it; what the service took is accepted, the rest is not.
     *
     * @param {string} text
     * @param {import("./parts.js").Change[]} changes
     * @param {import("./parts.js").Kept[]} kept
     */
    show(text, changes, kept) {
        this.#parts = parts(text, changes, kept);
        this.#boxes = [];
        this.#off.clear();
        this.element.replaceChildren(...this.#parts.map((part) => this.#element(part)));
        this.#current = 0;
        this.#mark();
        this.#changed();
    }

    get count() {
        return this.#boxes.length;
    }

    /** How many changes a person has accepted or rejected. */
    get decided() {
        return this.#boxes.filter((box) => box.parentElement.dataset.decided).length;
    }

    /** How many changes there are of each kind. */
    get kinds() {
        const found = new Map();
        for (const { kind } of this.#changes) found.set(kind, (found.get(kind) ?? 0) + 1);
        return found;
    }

    /** The current change's number among those to be looked at. */
    get position() {
        return this.#boxes.slice(0, this.#current + 1).filter((box) => !box.disabled).length;
    }

    /** How many changes are to be looked at. */
    get shown() {
        return this.#boxes.filter((box) => !box.disabled).length;
    }

    /**
     * Shows a kind's changes, or leaves what was not decided of them as the author wrote it.
     *
     * @param {string} kind
     * @param {boolean} wanted
     */
    want(kind, wanted) {
        if (wanted) this.#off.delete(kind);
        else this.#off.add(kind);
        for (const [index, change] of this.#changes.entries()) {
            const box = this.#boxes[index];
            if (change.kind !== kind || box.parentElement.dataset.decided) continue;
            box.disabled = !wanted;
            box.checked = wanted && change.verdict === "taken";
        }
        if (this.#boxes[this.#current]?.disabled) this.select(this.#next(this.#current, 1));
        this.#changed();
    }

    /** The author's words in the current change, without the blanks around them. */
    get words() {
        return this.#changes[this.#current]?.before.trim() ?? "";
    }

    /** Rejects every change of these words. */
    spare(words) {
        for (const [index, { before }] of this.#changes.entries()) {
            if (before.trim().toLowerCase() === words.toLowerCase()) this.#settle(this.#boxes[index], false);
        }
        this.#changed();
    }

    /** Goes on to the next change to be looked at, or back with -1. */
    step(by) {
        this.select(this.#next(this.#current, by));
    }

    /** Index of the nearest change in a direction that is to be looked at; where there is none, in the other one. */
    #next(from, by) {
        for (const way of [by, this.#boxes[from]?.disabled ? -by : 0]) {
            for (let at = from + way; way && at >= 0 && at < this.count; at += way) {
                if (!this.#boxes[at].disabled) return at;
            }
        }
        return from;
    }

    /** Index of the change that accept and reject speak about. */
    get current() {
        return this.#current;
    }

    /** The changes that are in the text as decided so far. */
    get accepted() {
        return this.#changes.filter((_, index) => this.#boxes[index].checked);
    }

    /** The text as decided so far. */
    get text() {
        return resolve(this.#parts, new Set(this.accepted));
    }

    /** What the current change does, in words. */
    get description() {
        return this.#boxes[this.#current]?.ariaLabel ?? "";
    }

    /** What sort of change the current one is. */
    get kind() {
        const { kind, verdict } = this.#changes[this.#current] ?? {};
        return kind ? `${PREFIX[verdict]}${KINDS[kind] ?? kind}` : "";
    }

    /** Why the service did not take the current change by itself; empty where it did. */
    get why() {
        const change = this.#changes[this.#current];
        return change && change.verdict !== "taken" ? change.message : "";
    }

    /** Makes a change the current one; numbers beyond an end stop there. */
    select(index) {
        this.#current = Math.max(0, Math.min(index, this.count - 1));
        this.#mark();
        this.#boxes[this.#current].parentElement.scrollIntoView({ block: "nearest" });
        this.dispatchEvent(new Event("select"));
    }

    /** Puts the keyboard on the current change. */
    focus() {
        this.#boxes[this.#current]?.focus();
    }

    /** Accepts or rejects the current change and goes on to the next. */
    decide(accept) {
        if (this.shown === 0) return;
        this.#settle(this.#boxes[this.#current], accept);
        this.#changed();
        this.step(1);
    }

    /** Rejects every change, or accepts all but those that the service refused: they would do harm unseen. */
    decideAll(accept) {
        for (const [index, change] of this.#changes.entries()) {
            if (this.#boxes[index].disabled) continue;
            if (!accept || change.verdict !== "refused") this.#settle(this.#boxes[index], accept);
        }
        this.#changed();
    }

    get #changes() {
        return this.#parts.flatMap(({ change }) => (change ? [change] : []));
    }

    /** Only the current change is a stop of the Tab key; the arrow keys go to the others. */
    #mark() {
        for (const [at, box] of this.#boxes.entries()) {
            box.tabIndex = at === this.#current ? 0 : -1;
            box.parentElement.classList.toggle("current", at === this.#current);
        }
    }

    /** Notes what a person decided. */
    #settle(box, accept) {
        box.checked = accept;
        box.ariaDescription = accept ? "accepted" : "rejected";
        box.parentElement.dataset.decided = box.ariaDescription;
    }

    /** A tap only points at a change: on a small screen it may be meant for its neighbour. */
    #click({ target }) {
        const box = target.closest(".change")?.querySelector("input");
        if (box && box !== target) box.focus();
    }

    #changed() {
        this.dispatchEvent(new Event("change"));
    }

    #key(event) {
        if (event.ctrlKey || event.metaKey || event.altKey || this.shown === 0) return;
        const act = {
            ArrowDown: () => this.step(1),
            ArrowRight: () => this.step(1),
            ArrowUp: () => this.step(-1),
            ArrowLeft: () => this.step(-1),
            a: () => this.decide(true),
            r: () => this.decide(false),
        }[event.key];
        if (!act) return;
        event.preventDefault();
        act();
        this.focus();
    }

    #element({ text, kept, change }) {
        if (change) return this.#change(change);
        return kept ? make("mark", { className: "kept", title: `Left as you wrote it. ${kept}` }, text) : text;
    }

    #change({ before, after, verdict, message }) {
        const whole = count(before) >= REWRITTEN && count(after) >= REWRITTEN;
        const what = whole ? `Rewrite ${spoken(before)} as ${spoken(after)}` : describe(before, after);
        const label = `${PREFIX[verdict]}${what}${verdict === "taken" ? "" : `. ${message}`}`;
        const box = make("input", { type: "checkbox", checked: verdict === "taken", ariaLabel: label });
        box.ariaDescription = "not decided";
        this.#boxes.push(box);
        const sides = [before && make("del", {}, visible(before)), after && make("ins", {}, visible(after))];
        const element = make("span", { className: "change" }, box, ...sides.filter(Boolean));
        element.dataset.verdict = verdict;
        if (whole) element.dataset.size = "whole";
        if (verdict !== "taken") element.title = message;
        return element;
    }
}

const PREFIX = { taken: "", offered: "Offered: ", refused: "Refused: " };

function describe(before, after) {
    if (!before) return `Insert ${spoken(after)}`;
    if (!after) return `Remove ${spoken(before)}`;
    return `Replace ${spoken(before)} with ${spoken(after)}`;
}

function count(text) {
    return text.match(/\S+/g)?.length ?? 0;
}

function spoken(text) {
    if (text.trim()) return `“${text.trim()}”`;
    return text.includes("\n") ? "a line break" : "a space";
}

/** White space alone cannot be seen struck or inserted, so line breaks get a sign. */
function visible(text) {
    return text.trim() ? text : text.replaceAll("\n", "↵\n");
}
