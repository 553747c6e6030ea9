/** The page: ties the text, the service and the review together. */

import { Api, ApiError } from "./api.js";
import { copy } from "./copy.js";
import { settings, showRecent } from "./dialogs.js";
import { explain } from "./explain.js";
import { Models } from "./models.js";
import { Notice } from "./notice.js";
import { Review } from "./review.js";
import { Run } from "./run.js";
import { History, Remembered } from "./store.js";

const $ = (id) => document.getElementById(id);
const remembered = {
    key: new Remembered("key", ""),
    theme: new Remembered("theme", "auto"),
    keep: new Remembered("keep", true),
    draft: new Remembered("draft", ""),
    model: new Remembered("model", ""),
};
const history = new History();
const notice = new Notice($("notice"));
const review = new Review($("changes"));

let key = remembered.key.get();
const api = new Api(() => key);
const models = new Models(api, $("model"), $("upstream"), remembered.model.get());
/** @type {Run | undefined} the polish under way */
let run;
/** The notice that the service cannot be reached, while it cannot. */
let cut;

/** How often health is asked while the page is looked at, in ms. */
const LOOK_EVERY = 30_000;

/** Read out by screen readers, shown to nobody. */
function announce(text) {
    $("status").textContent = text;
}

/** @param {"empty" | "running" | "done"} state  decides what the result pane shows */
function show(state) {
    $("result").dataset.state = state;
    $("result").ariaBusy = String(state === "running");
    const running = state === "running";
    if (!running && document.activeElement === $("stop")) $("polish").focus();
    $("stop").hidden = !running;
    $("clear").hidden = running;
    $("polish").ariaDisabled = String(running);
}

async function polish() {
    if (run) return;
    const [text, model] = [$("text").value, $("model").value];
    notice.clear();
    $("text").ariaInvalid = "false";
    if (!text.trim()) {
        notice.show({ title: "There is no text yet", advice: "Paste or type one first." });
        $("text").focus();
        return;
    }
    const former = $("result").dataset.state;
    show("running");
    const view = { stream: $("stream"), progress: $("progress"), phase: $("phase"), announce };
    const mine = (run = new Run(api, { text, model }, view));
    try {
        finish(text, model, await mine.result());
    } catch (error) {
        if (run !== mine) return; // something else is shown by now
        show(former);
        if (error.name === "AbortError") announce("Stopped. Your text is unchanged.");
        else fail(error);
    } finally {
        if (run === mine) run = undefined;
    }
}

function finish(text, asked, { polished, model, elapsed_ms }) {
    if (remembered.keep.get()) history.add({ at: Date.now(), model, text, polished });
    present(text, polished);
    $("facts").textContent = `${model} · ${(elapsed_ms / 1000).toFixed(1)} s`;
    const other = models.other(model, asked);
    if (other) notice.show({ title: `${other} answered`, advice: "The model you chose cannot be reached." });
    const changes = review.count === 1 ? "1 change" : `${review.count} changes`;
    announce(review.count === 0 ? "Done. Nothing to change." : `Done. ${changes} to review.`);
    if (matchMedia("(max-width: 50rem)").matches) $("result").scrollIntoView();
}

/** Shows a text and its polished form for review. */
function present(text, polished) {
    show("done");
    review.show(text, polished);
    $("review").hidden = review.count === 0;
    $("view").hidden = review.count === 0;
    $("view").querySelector("[value=changes]").click();
    if (review.count === 0) notice.show({ title: "Nothing to change", advice: "The model left the text as it is." });
}

function fail(error) {
    tell(error);
    models.refresh().catch(() => {}); // the status line says it
}

/** Says what is wrong, with a button that leads to what mends it. */
function tell(error) {
    if (!(error instanceof ApiError)) throw error;
    const explanation = explain(error);
    const remedies = {
        key: { label: "Enter the key", act: () => openSettings($("key")) },
        text: { label: "Go to the text", act: () => $("text").focus() },
    };
    if (explanation.field === "text") $("text").ariaInvalid = "true";
    return notice.show(explanation, remedies[explanation.field]);
}

/** Asks what the service has and how it is. That it is cut off is told once, and taken back when it is there again. */
async function connect() {
    try {
        await models.refresh();
        if (cut) notice.clear(cut);
        cut = undefined;
    } catch (error) {
        cut ??= tell(error);
    }
}

function openSettings(field) {
    $("settings").showModal();
    field?.focus();
}

function counted() {
    const text = $("text").value;
    const words = text.match(/\S+/g)?.length ?? 0;
    $("count").textContent = `${words} ${words === 1 ? "word" : "words"} · ${[...text].length} characters`;
}

/** Puts a text in place of the one there is. */
function write(text) {
    $("text").value = text;
    $("text").dispatchEvent(new Event("input"));
}

function restore(entry) {
    run?.stop();
    run = undefined;
    write(entry.text);
    notice.clear();
    present(entry.text, entry.polished);
    $("facts").textContent = entry.model;
}

/** Leaves no text in this browser. */
function forget() {
    history.clear();
    remembered.draft.forget();
}

async function copyResult() {
    if ($("result").dataset.state !== "done") return;
    try {
        await copy(review.text);
        announce("Copied.");
        $("copy").textContent = "Copied";
        setTimeout(() => ($("copy").textContent = "Copy"), 2000);
    } catch (error) {
        notice.show({ title: "Not copied", advice: `${error.message}. Choose “Result” and copy the text by hand.` });
    }
}

/** Goes to a neighbouring change from wherever the keyboard is. */
function step(by) {
    if ($("result").dataset.state !== "done" || review.count === 0) return;
    $("view").querySelector("[value=changes]").click();
    if ($("changes").contains(document.activeElement)) review.select(review.current + by);
    review.focus();
}

function keyboard(event) {
    const mod = event.ctrlKey || event.metaKey;
    const alt = event.altKey && event.target !== $("model"); // there it opens the list
    if (document.querySelector("dialog[open]")) return;
    if (mod && event.key === "Enter") void (event.shiftKey ? copyResult() : polish());
    else if (event.key === "Escape" && run) run.stop();
    else if (alt && event.key === "ArrowDown") step(1);
    else if (alt && event.key === "ArrowUp") step(-1);
    else return;
    event.preventDefault();
}

function tally() {
    $("tally").textContent = `${review.current + 1} of ${review.count}`;
    $("outcome").textContent = review.text;
}

/** A decision or a step made with the buttons, where the screen reader's focus is not on the change. */
function decided(act) {
    act();
    announce(`${review.accepted} of ${review.count} accepted. ${review.description}`);
}

function listen() {
    $("editor").addEventListener("submit", (event) => {
        event.preventDefault();
        void polish();
    });
    $("stop").addEventListener("click", () => run?.stop());
    $("text").addEventListener("input", () => {
        counted();
        if (remembered.keep.get()) remembered.draft.set($("text").value);
    });
    $("clear").addEventListener("click", () => {
        write("");
        $("text").focus();
    });
    $("model").addEventListener("change", () => remembered.model.set($("model").value));
    $("view").addEventListener("change", ({ target }) => {
        $("changes").hidden = target.value !== "changes";
        $("outcome").hidden = target.value !== "outcome";
    });
    review.addEventListener("change", tally);
    review.addEventListener("select", tally);
    $("previous").addEventListener("click", () => decided(() => review.select(review.current - 1)));
    $("next").addEventListener("click", () => decided(() => review.select(review.current + 1)));
    $("accept").addEventListener("click", () => decided(() => review.decide(true)));
    $("reject").addEventListener("click", () => decided(() => review.decide(false)));
    $("accept-all").addEventListener("click", () => decided(() => review.decideAll(true)));
    $("reject-all").addEventListener("click", () => decided(() => review.decideAll(false)));
    $("copy").addEventListener("click", () => void copyResult());
    $("open-recent").addEventListener("click", () => showRecent($("recent"), history, restore));
    $("forget").addEventListener("click", () => {
        forget();
        $("recent").close();
        announce("Forgotten.");
    });
    $("open-settings").addEventListener("click", () => openSettings());
    document.addEventListener("keydown", keyboard);
    const look = () => document.visibilityState === "visible" && void connect();
    document.addEventListener("visibilitychange", look);
    setInterval(look, LOOK_EVERY);
}

const apple = /Mac|iPhone|iPad/.test(navigator.platform);
for (const element of document.querySelectorAll(".mod")) element.textContent = apple ? "⌘" : "Ctrl";
for (const element of document.querySelectorAll(".alt")) element.textContent = apple ? "⌥" : "Alt";
$("polish-keys").textContent = apple ? "⌘↵" : "Ctrl ↵";

settings($("settings"), remembered, {
    onKey: (entered) => {
        key = entered;
        notice.clear();
        cut = undefined;
        void connect();
    },
    onKeep: (keep) => keep || forget(),
});
$("text").value = remembered.draft.get();
counted();
listen();
await connect();
