/** The page: ties the text, the service and the review together. */

import { Api, ApiError } from "./api.js";
import { copy } from "./copy.js";
import { settings, showRecent } from "./dialogs.js";
import { explain } from "./explain.js";
import { Models } from "./models.js";
import { Modes } from "./modes.js";
import { Notice } from "./notice.js";
import { Review } from "./review.js";
import { Run } from "./run.js";
import { History, Remembered } from "./store.js";

/** How often health is asked while the page is looked at, in ms. */
const LOOK_EVERY = 30_000;

class Page {
    /** Every element that has an id, by that. */
    #at = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
    #remembered = {
        key: new Remembered("key", ""),
        theme: new Remembered("theme", "auto"),
        keep: new Remembered("keep", true),
        spared: new Remembered("spared", []),
        draft: new Remembered("draft", ""),
        model: new Remembered("model", ""),
        mode: new Remembered("mode", ""),
    };
    #history = new History();
    #notice = new Notice(this.#at.notice);
    #review = new Review(this.#at.changes);
    #key = this.#remembered.key.get();
    #api = new Api(() => this.#key);
    #models = new Models(this.#api, this.#at.model, this.#at.upstream, this.#remembered.model.get());
    #modes = new Modes(this.#api, this.#at.mode, this.#remembered.mode.get());
    /** @type {Run | undefined} the polish under way */
    #run;
    /** The notice that the service cannot be reached, while it cannot. */
    #cut;

    async open() {
        this.#name(/Mac|iPhone|iPad/.test(navigator.platform));
        settings(this.#at.settings, this.#remembered, {
            onKey: (entered) => {
                this.#key = entered;
                this.#notice.clear();
                this.#cut = undefined;
                void this.#connect();
            },
            onKeep: (keep) => keep || this.#forget(),
        });
        this.#at.text.value = this.#remembered.draft.get();
        this.#counted();
        this.#listen();
        await this.#connect();
    }

    /** Writes the keys as the keyboard in front of the person has them. */
    #name(apple) {
        for (const element of document.querySelectorAll(".mod")) element.textContent = apple ? "⌘" : "Ctrl";
        for (const element of document.querySelectorAll(".alt")) element.textContent = apple ? "⌥" : "Alt";
        this.#at["polish-keys"].textContent = apple ? "⌘↵" : "Ctrl ↵";
    }

    /** Read out by screen readers, shown to nobody. */
    #announce(text) {
        this.#at.status.textContent = text;
    }

    /** @param {"empty" | "running" | "done"} state  decides what the result pane shows */
    #show(state) {
        const { result, stop, polish, clear } = this.#at;
        const running = state === "running";
        result.dataset.state = state;
        result.ariaBusy = String(running);
        if (!running && document.activeElement === stop) polish.focus();
        stop.hidden = !running;
        clear.hidden = running;
        polish.ariaDisabled = String(running);
    }

    get #done() {
        return this.#at.result.dataset.state === "done";
    }

    async #polish() {
        if (this.#run) return;
        const request = {
            text: this.#at.text.value,
            model: this.#at.model.value,
            mode: this.#at.mode.value,
            keep: this.#remembered.spared.get(),
        };
        this.#notice.clear();
        this.#at.text.ariaInvalid = "false";
        if (!request.text.trim()) {
            this.#notice.show({ title: "There is no text yet", advice: "Paste or type one first." });
            this.#at.text.focus();
            return;
        }
        const former = this.#at.result.dataset.state;
        this.#show("running");
        const { stream, progress, phase } = this.#at;
        const run = new Run(this.#api, request, { stream, progress, phase, announce: (text) => this.#announce(text) });
        this.#run = run;
        try {
            this.#finish(request, await run.result());
        } catch (error) {
            if (this.#run !== run) return; // something else is shown by now
            this.#show(former);
            if (error.name === "AbortError") this.#announce("Stopped. Your text is unchanged.");
            else this.#fail(error);
        } finally {
            if (this.#run === run) this.#run = undefined;
        }
    }

    #finish({ text, model: asked }, { model, elapsed_ms, changes, kept }) {
        if (this.#remembered.keep.get()) this.#history.add({ at: Date.now(), model, text, changes, kept });
        this.#present(text, changes, kept);
        this.#at.facts.textContent = `${model} · ${(elapsed_ms / 1000).toFixed(1)} s`;
        const other = this.#models.other(model, asked);
        if (other) this.#notice.show({ title: `${other} answered`, advice: "The model you chose cannot be reached." });
        this.#announce(`Done. ${outcome(changes, kept)}`);
        if (matchMedia("(max-width: 50rem)").matches) this.#at.result.scrollIntoView();
    }

    /** Shows a text with what was proposed for it, and says so where there is nothing to decide or something stayed. */
    #present(text, changes, kept) {
        this.#show("done");
        this.#review.show(text, changes, kept);
        const none = this.#review.count === 0;
        this.#at.review.hidden = none;
        this.#at.view.hidden = none && kept.length === 0;
        this.#at.view.querySelector("[value=changes]").click();
        if (kept.length > 0) this.#notice.show(stayed(kept));
        else if (none) this.#notice.show({ title: "Nothing to change", advice: "The model left the text as it is." });
    }

    #fail(error) {
        this.#tell(error);
        this.#models.refresh().catch(() => {}); // the status line says it
    }

    /** Says what is wrong, with a button that leads to what mends it. */
    #tell(error) {
        if (!(error instanceof ApiError)) throw error;
        const explanation = explain(error);
        const remedies = {
            key: { label: "Enter the key", act: () => this.#openSettings(this.#at.key) },
            text: { label: "Go to the text", act: () => this.#at.text.focus() },
        };
        if (explanation.field === "text") this.#at.text.ariaInvalid = "true";
        return this.#notice.show(explanation, remedies[explanation.field]);
    }

    /** Asks what the service has and how it is. That it is cut off is told once, and taken back when it is there again. */
    async #connect() {
        try {
            await this.#models.refresh();
            await this.#modes.refresh();
            if (this.#cut) this.#notice.clear(this.#cut);
            this.#cut = undefined;
        } catch (error) {
            this.#cut ??= this.#tell(error);
        }
    }

    #openSettings(field) {
        this.#at.settings.showModal();
        field?.focus();
    }

    #counted() {
        const text = this.#at.text.value;
        const words = text.match(/\S+/g)?.length ?? 0;
        this.#at.count.textContent = `${words} ${words === 1 ? "word" : "words"} · ${[...text].length} characters`;
    }

    /** Puts a text in place of the one there is. */
    #write(text) {
        this.#at.text.value = text;
        this.#at.text.dispatchEvent(new Event("input"));
    }

    #restore({ text, changes, kept, model }) {
        this.#run?.stop();
        this.#run = undefined;
        this.#write(text);
        this.#notice.clear();
        this.#present(text, changes, kept);
        this.#at.facts.textContent = model;
    }

    /** Leaves no text in this browser. */
    #forget() {
        this.#history.clear();
        this.#remembered.draft.forget();
    }

    async #copyResult() {
        if (!this.#done) return;
        try {
            await copy(this.#review.text);
            this.#announce("Copied.");
            this.#at.copy.textContent = "Copied";
            setTimeout(() => (this.#at.copy.textContent = "Copy"), 2000);
        } catch (error) {
            const advice = `${error.message}. Choose “Result” and copy the text by hand.`;
            this.#notice.show({ title: "Not copied", advice });
        }
    }

    /** Goes to a neighbouring change from wherever the keyboard is. */
    #step(by) {
        if (!this.#done || this.#review.count === 0) return;
        this.#at.view.querySelector("[value=changes]").click();
        if (this.#at.changes.contains(document.activeElement)) this.#review.select(this.#review.current + by);
        this.#review.focus();
    }

    #keyboard(event) {
        const mod = event.ctrlKey || event.metaKey;
        const alt = event.altKey && !(event.target instanceof HTMLSelectElement); // there it opens the list
        if (document.querySelector("dialog[open]")) return;
        if (mod && event.key === "Enter") void (event.shiftKey ? this.#copyResult() : this.#polish());
        else if (event.key === "Escape" && this.#run) this.#run.stop();
        else if (alt && event.key === "ArrowDown") this.#step(1);
        else if (alt && event.key === "ArrowUp") this.#step(-1);
        else return;
        event.preventDefault();
    }

    #tally() {
        this.#at.tally.textContent = `${this.#review.current + 1} of ${this.#review.count}`;
        this.#at.why.textContent = this.#review.why;
        this.#at.outcome.textContent = this.#review.text;
    }

    /** A decision or a step made with the buttons, where the screen reader's focus is not on the change. */
    #decided(act) {
        act();
        this.#announce(`${this.#review.accepted} of ${this.#review.count} accepted. ${this.#review.description}`);
    }

    #listen() {
        this.#listenToEditor();
        this.#listenToReview();
        this.#at["open-recent"].addEventListener("click", () =>
            showRecent(this.#at.recent, this.#history, (entry) => this.#restore(entry)),
        );
        this.#at.forget.addEventListener("click", () => {
            this.#forget();
            this.#at.recent.close();
            this.#announce("Forgotten.");
        });
        this.#at["open-settings"].addEventListener("click", () => this.#openSettings());
        document.addEventListener("keydown", (event) => this.#keyboard(event));
        const look = () => document.visibilityState === "visible" && void this.#connect();
        document.addEventListener("visibilitychange", look);
        setInterval(look, LOOK_EVERY);
    }

    #listenToEditor() {
        const { editor, stop, text, clear, model, mode } = this.#at;
        editor.addEventListener("submit", (event) => {
            event.preventDefault();
            void this.#polish();
        });
        stop.addEventListener("click", () => this.#run?.stop());
        text.addEventListener("input", () => {
            this.#counted();
            if (this.#remembered.keep.get()) this.#remembered.draft.set(text.value);
        });
        clear.addEventListener("click", () => {
            this.#write("");
            text.focus();
        });
        model.addEventListener("change", () => this.#remembered.model.set(model.value));
        mode.addEventListener("change", () => this.#remembered.mode.set(mode.value));
    }

    #listenToReview() {
        const review = this.#review;
        this.#at.view.addEventListener("change", ({ target }) => {
            this.#at.changes.hidden = target.value !== "changes";
            this.#at.outcome.hidden = target.value !== "outcome";
        });
        for (const event of ["change", "select"]) review.addEventListener(event, () => this.#tally());
        const acts = {
            previous: () => review.select(review.current - 1),
            next: () => review.select(review.current + 1),
            accept: () => review.decide(true),
            reject: () => review.decide(false),
            "accept-all": () => review.decideAll(true),
            "reject-all": () => review.decideAll(false),
        };
        for (const [id, act] of Object.entries(acts)) {
            this.#at[id].addEventListener("click", () => this.#decided(act));
        }
        this.#at.copy.addEventListener("click", () => void this.#copyResult());
    }
}

/** What became of a text, in a sentence. */
function outcome(changes, kept) {
    const taken = changes.filter(({ verdict }) => verdict === "taken").length;
    const rest = changes.length - taken;
    const parts = [
        taken > 0 && `${counted(taken, "change")} to review.`,
        rest > 0 && `${counted(rest, "proposal")} not taken.`,
        kept.length > 0 && `${stayed(kept).title}.`,
    ].filter(Boolean);
    return parts.join(" ") || "Nothing to change.";
}

/** That parts of the text are as the author wrote them, and why. */
function stayed(kept) {
    const reasons = [...new Set(kept.map(({ message }) => message))];
    const title = kept.length === 1 ? "One part is left as you wrote it" : `${kept.length} parts are left as you wrote them`;
    return { title, advice: reasons.join(" ") };
}

function counted(number, what) {
    return `${number} ${what}${number === 1 ? "" : "s"}`;
}

await new Page().open();
