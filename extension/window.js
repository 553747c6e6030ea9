/** The window of one text: it is polished here, reviewed, and put back where it came from. */

import { copy } from "./page/copy.js";
import { explain } from "./page/explain.js";
import { Modes } from "./page/modes.js";
import { Notice } from "./page/notice.js";
import { Review } from "./page/review.js";
import { Run } from "./page/run.js";
import { options, service } from "./service.js";

const at = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
const notice = new Notice(at.notice);
const review = new Review(at.changes);
const announce = (text) => (at.status.textContent = text);

/** What became of putting the result back, where that is not simply done. */
const OUTCOMES = {
    changed: ["The page's text was changed since", "Nothing was replaced. Copy the result instead."],
    refused: ["The page did not take it", "Copy the result and paste it there."],
    altered: ["The page took it otherwise", "It may have cut it. Look at it, and copy the result if need be."],
    partly: ["One part stayed", "Changes across the end of a paragraph cannot be put back. Copy the result instead."],
    gone: ["The page is gone", "It was closed or left. Copy the result instead."],
};

class Job {
    #run;

    constructor(job, chosen) {
        this.job = job;
        this.api = service(chosen);
        this.modes = new Modes(this.api, at.mode, chosen.mode);
        at.source.textContent = job.text;
        at.replace.hidden = !job.writable;
        at.stop.addEventListener("click", () => this.#run?.stop());
        at.again.addEventListener("click", () => void this.polish());
        at.mode.addEventListener("change", () => {
            void chrome.storage.local.set({ mode: this.modes.value });
            void this.polish();
        });
        at.copy.addEventListener("click", () => void this.#copy());
        at.replace.addEventListener("click", () => void this.#replace());
        addEventListener("pagehide", () => this.#run?.stop());
    }

    async polish() {
        if (this.#run) return;
        notice.clear();
        show("running");
        try {
            await this.modes.refresh();
            const [{ id: model }] = await this.api.models();
            const request = { text: this.job.text, model, mode: this.modes.value, keep: [] };
            this.#run = new Run(this.api, request, { stream: at.stream, progress: at.progress, phase: at.phase, announce });
            const { changes, kept } = await this.#run.result();
            this.#present(changes, kept);
        } catch (error) {
            show(at.stream.textContent ? "broken" : "empty");
            if (error.name === "AbortError") announce("Stopped. Your text is unchanged.");
            else this.#fail(error);
        } finally {
            this.#run = undefined;
        }
    }

    #present(changes, kept) {
        show("done");
        review.show(this.job.text, changes, kept);
        at.review.hidden = review.count === 0;
        const said = [...new Set(kept.map(({ message }) => message))].join(" ");
        if (kept.length > 0) notice.show({ title: "A part is left as you wrote it", advice: said });
        else if (review.count === 0) notice.show({ title: "Nothing to change", advice: "The model left the text as it is." });
        announce(`Done. ${review.count} changes to look at.`);
        at.title.focus();
    }

    #fail(error) {
        if (error.name !== "ApiError") throw error;
        notice.show(explain(error), { label: "Open the options", act: () => chrome.runtime.openOptionsPage() });
    }

    async #copy() {
        try {
            await copy(review.text);
            announce("Copied.");
            at.copy.textContent = "Copied";
            setTimeout(() => (at.copy.textContent = "Copy"), 2000);
        } catch (error) {
            notice.show({ title: "Not copied", advice: `${error.message}.` });
        }
    }

    async #replace() {
        const { tabId, frameId } = this.job;
        const letters = [...this.job.text];
        const place = (number) => letters.slice(0, number).join("").length; // pages count otherwise than the service
        const changes = review.accepted.map(({ start, end, after }) => ({ start: place(start), end: place(end), after }));
        const outcome = await put({ tabId, frameIds: [frameId] }, { text: review.text, changes }).catch(() => "gone");
        if (outcome !== "done") {
            const [title, advice] = OUTCOMES[outcome] ?? OUTCOMES.gone;
            return notice.show({ title, advice });
        }
        window.close();
    }
}

/** Puts a text where it came from, in front of the person. */
async function put(target, result) {
    const { windowId } = await chrome.tabs.update(target.tabId, { active: true });
    await chrome.windows.update(windowId, { focused: true });
    const func = (told) => globalThis.pollexHeld?.put?.(told) ?? "gone";
    const [{ result: outcome }] = await chrome.scripting.executeScript({ target, func, args: [result] });
    return outcome;
}

/** @param {"empty" | "running" | "done" | "broken"} state */
function show(state) {
    at.result.dataset.state = state;
    at.result.ariaBusy = String(state === "running");
    if (state === "running") at.stop.focus();
}

function tally() {
    at.tally.textContent = `${review.position} of ${review.shown}`;
    at.decided.textContent = `${review.decided} decided`;
    at.kind.textContent = review.kind;
    at.why.textContent = review.why;
}

for (const event of ["change", "select"]) review.addEventListener(event, tally);
at.previous.addEventListener("click", () => review.step(-1));
at.next.addEventListener("click", () => review.step(1));
at.accept.addEventListener("click", () => review.decide(true));
at.reject.addEventListener("click", () => review.decide(false));

const id = new URL(location.href).searchParams.get("job");
const { [id]: job = {} } = await chrome.storage.session.get(id);
await chrome.storage.session.remove(id); // it lives as long as this window, and nowhere else
const chosen = await options();
const start = {
    closed: ["The browser keeps this page to itself", "No extension may read it. Copy the text and use the service's page."],
    refused: ["This field is never read", "It is for a password or a card."],
    empty: ["There is no text", "Select some, or put the cursor into a field, and try again."],
}[job.closed ? "closed" : job.refused ? "refused" : job.text ? "" : "empty"];
at.again.hidden = Boolean(start);
if (start) notice.show({ title: start[0], advice: start[1] });
else if (!chosen.address) {
    at.again.hidden = true;
    const act = () => chrome.runtime.openOptionsPage();
    notice.show({ title: "Which service?", advice: "Its address is not set yet." }, { label: "Open the options", act });
} else void new Job(job, chosen).polish();
document.documentElement.dataset.ready = "true";
