/** The page: ties the text, the service and the review together. */

import { Api, ApiError } from "./api.js";
import { copy } from "./copy.js";
import { settings, showRecent } from "./dialogs.js";
import { make } from "./dom.js";
import { Editor } from "./editor.js";
import { explain } from "./explain.js";
import { intake, open } from "./intake.js";
import { Models } from "./models.js";
import { Modes } from "./modes.js";
import { Notice } from "./notice.js";
import { KINDS, Review } from "./review.js";
import { Run } from "./run.js";
import { read } from "./spared.js";
import { History, Remembered } from "./store.js";

/** How often health is asked while the page is looked at, in ms. */
const LOOK_EVERY = 30_000;

/** Whether one pane is shown at a time; style.css has the same width. */
const NARROW = matchMedia("(max-width: 50rem)");

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
    #editor = new Editor(this.#at, (text) => this.#edited(text));
    /** The texts that what is shown belongs to: the one that was polished, and what was made of it here. */
    #sources = [];
    #key = this.#remembered.key.get();
    #api = new Api(() => this.#key);
    #models = new Models(this.#api, this.#at.model, this.#at.upstream, this.#remembered.model.get());
    #modes = new Modes(this.#api, this.#at.mode, this.#remembered.mode.get());
    /** @type {Run | undefined} the polish under way */
    #run;
    /** The notice that the service cannot be reached, while it cannot. */
    #cut;
    /** @type {Promise<void> | undefined} settles once it is known what there is to choose from, or that nothing answers */
    #known;

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
        this.#editor.start(this.#remembered.draft.get());
        this.#listen();
        this.#known = this.#connect();
        await this.#known;
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

    /** @param {"empty" | "running" | "done" | "broken"} state  decides what the result pane shows */
    #show(state) {
        const { result, stop, polish } = this.#at;
        const running = state === "running";
        const stopped = !running && document.activeElement === stop;
        result.dataset.state = state;
        result.ariaBusy = String(running);
        polish.ariaDisabled = String(running);
        this.#turn(state === "empty" ? "text" : "result");
        this.#stale();
        if (stopped) polish.focus();
        this.#refocus(running ? stop : this.#at["result-title"]);
    }

    /** @param {"text" | "result"} pane  is the one that a small screen shows */
    #turn(pane) {
        this.#at.main.dataset.pane = pane;
        this.#at.back.hidden = pane === "result" || this.#at.result.dataset.state === "empty";
        if (NARROW.matches) scrollTo(0, 0);
    }

    /** Where what had the keyboard is not shown any more, something near it gets it. */
    #refocus(element) {
        const focused = document.activeElement;
        if (!focused || focused === document.body || !focused.checkVisibility()) element.focus();
    }

    /** Marks a result whose text was edited since. */
    #stale() {
        const stale = this.#done && !this.#sources.includes(this.#editor.value);
        if (stale && this.#at.stale.hidden) this.#announce("The changes are of an earlier text now.");
        this.#at.stale.hidden = !stale;
        this.#at.facts.hidden = stale;
    }

    #edited(text) {
        if (this.#remembered.keep.get()) this.#remembered.draft.set(text);
        this.#stale();
    }

    /** Brings the text to the fore. */
    #edit() {
        this.#turn("text");
        this.#at.text.focus();
    }

    get #done() {
        return this.#at.result.dataset.state === "done";
    }

    async #polish() {
        if (this.#run) return;
        const request = { text: this.#editor.value, keep: this.#remembered.spared.get() };
        this.#notice.clear();
        this.#at.text.ariaInvalid = "false";
        if (!request.text.trim()) {
            this.#notice.show({ title: "There is no text yet", advice: "Paste or type one first." });
            this.#edit();
            return;
        }
        this.#show("running");
        const { stream, progress, phase } = this.#at;
        const run = new Run(this.#api, request, { stream, progress, phase, announce: (text) => this.#announce(text) });
        this.#run = run;
        try {
            await this.#known; // a hand may be quicker than a network, and asks for what it chose the last time
            Object.assign(request, { model: this.#at.model.value, mode: this.#modes.value });
            this.#finish(request, await run.result());
        } catch (error) {
            if (this.#run !== run) return; // something else is shown by now
            const stopped = error.name === "AbortError";
            this.#breakOff(stopped ? "Stopped here." : "It broke off here.");
            if (stopped) this.#announce("Stopped. Your text is unchanged.");
            else this.#fail(error);
        } finally {
            if (this.#run === run) this.#run = undefined;
        }
    }

    /** What was written until then stays to be read; what was shown of another text before does not pass for this one's. */
    #breakOff(why) {
        const written = this.#at.stream.textContent !== "";
        const former = this.#sources.length > 0;
        this.#at.former.hidden = !former;
        this.#at.rest.textContent = written ? `${why} This is not the whole text, and nothing of it was reviewed.` : "";
        this.#show(written || former ? "broken" : "empty");
    }

    #finish({ text, model: asked }, { model, elapsed_ms, changes, kept }) {
        if (this.#remembered.keep.get()) this.#history.add({ at: Date.now(), model, text, changes, kept });
        this.#present(text, changes, kept);
        this.#at.facts.textContent = `${model} · ${(elapsed_ms / 1000).toFixed(1)} s`;
        const other = this.#models.other(model, asked);
        if (other) this.#notice.show({ title: `${other} answered`, advice: "The model you chose cannot be reached." });
        this.#announce(`Done. ${outcome(changes, kept)}`);
    }

    /** Shows a text with what was proposed for it, and says so where there is nothing to decide or something stayed. */
    #present(text, changes, kept) {
        this.#sources = [text];
        this.#show("done");
        this.#review.show(text, changes, kept);
        const none = this.#review.count === 0;
        this.#at.review.hidden = none;
        this.#sort();
        this.#at.view.hidden = none && kept.length === 0;
        this.#at.view.querySelector("[value=changes]").click();
        if (kept.length > 0) this.#notice.show(stayed(kept));
        else if (none) this.#notice.show({ title: "Nothing to change", advice: "The model left the text as it is." });
    }

    /** A switch for each kind of change, where there are several. */
    #sort() {
        const kinds = this.#review.kinds;
        const named = Object.keys(KINDS).filter((kind) => kinds.has(kind));
        const choices = named.map((kind) => {
            const box = make("input", { type: "checkbox", value: kind, checked: true });
            return make("label", {}, box, ` ${KINDS[kind]} ${kinds.get(kind)}`);
        });
        this.#at.kinds.replaceChildren(this.#at.kinds.querySelector("legend"), ...choices);
        this.#at.kinds.hidden = named.length < 2;
    }

    /** Leaves the current change's words alone, here and in every text from now on. */
    #never() {
        const word = this.#review.words;
        if (!sparable(word)) return this.#announce("There is no word here to be kept.");
        const spared = this.#remembered.spared.get();
        const { words, problems } = read([...spared, word].join("\n"));
        if (problems.length > 0) return this.#notice.show({ title: "Not kept", advice: problems.join(" ") });
        this.#remembered.spared.set(words);
        this.#at.spared.value = words.join("\n");
        this.#review.spare(word);
        this.#review.step(1);
        this.#announce(`“${word}” is never touched. The settings have the list.`);
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
            text: { label: "Go to the text", act: () => this.#edit() },
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

    #restore({ text, changes, kept, model }) {
        this.#run?.stop();
        this.#run = undefined;
        this.#turn("text"); // what is not shown cannot be written to so that it can be undone
        this.#editor.write(text);
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
        if (!this.#done) return this.#announce("There is no result to copy.");
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

    /** Goes on with the result as the text. */
    #use() {
        const result = this.#review.text;
        this.#sources.push(result);
        this.#turn("text");
        this.#editor.write(result);
        this.#announce("This is your text now. Undo brings back the former one.");
    }

    /** Goes to a neighbouring change from wherever the keyboard is. */
    #step(by) {
        if (!this.#done || this.#review.shown === 0) return;
        this.#at.view.querySelector("[value=changes]").click();
        if (this.#at.changes.contains(document.activeElement)) this.#review.step(by);
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
        this.#at.tally.textContent = `${this.#review.position} of ${this.#review.shown}`;
        this.#at.decided.textContent = `${this.#review.decided} decided`;
        this.#at.kind.textContent = this.#review.kind;
        this.#at.never.ariaDisabled = String(!sparable(this.#review.words));
        this.#at.why.textContent = this.#review.why;
        this.#at.outcome.textContent = this.#review.text;
    }

    /** A decision or a step made with the buttons, where the screen reader's focus is not on the change. */
    #decided(act) {
        act();
        this.#announce(`${this.#review.decided} of ${this.#review.count} decided. ${this.#review.description}`);
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
        const { editor, stop, model, mode, edit, back } = this.#at;
        editor.addEventListener("submit", (event) => {
            event.preventDefault();
            void this.#polish();
        });
        stop.addEventListener("click", () => this.#run?.stop());
        edit.addEventListener("click", () => this.#edit());
        back.addEventListener("click", () => {
            this.#turn("result");
            this.#refocus(this.#at["result-title"]);
        });
        model.addEventListener("change", () => this.#remembered.model.set(model.value));
        mode.addEventListener("change", () => this.#remembered.mode.set(this.#modes.value));
        const acts = {
            take: (text) => {
                this.#editor.write(text);
                this.#announce("Opened.");
            },
            refuse: (why) => this.#notice.show(why),
        };
        intake(this.#at.text, acts);
        this.#at["open-file"].addEventListener("click", () => this.#at.file.click());
        this.#at.file.addEventListener("change", () => {
            const [file] = this.#at.file.files;
            this.#at.file.value = ""; // so that the same one can be chosen again
            if (file) void open(file, acts);
        });
    }

    #listenToReview() {
        const review = this.#review;
        this.#at.view.addEventListener("change", ({ target }) => {
            this.#at.changes.hidden = target.value !== "changes";
            this.#at.outcome.hidden = target.value !== "outcome";
        });
        for (const event of ["change", "select"]) review.addEventListener(event, () => this.#tally());
        const acts = {
            previous: () => review.step(-1),
            next: () => review.step(1),
            accept: () => review.decide(true),
            reject: () => review.decide(false),
            "accept-all": () => review.decideAll(true),
            "reject-all": () => review.decideAll(false),
        };
        for (const [id, act] of Object.entries(acts)) {
            this.#at[id].addEventListener("click", () => this.#decided(act));
        }
        this.#at.never.addEventListener("click", () => this.#never());
        this.#at.kinds.addEventListener("change", ({ target }) => {
            review.want(target.value, target.checked);
            this.#announce(`${counted(review.shown, "change")} to look at. What is switched off stays as you wrote it.`);
        });
        this.#at.copy.addEventListener("click", () => void this.#copyResult());
        this.#at.use.addEventListener("click", () => this.#use());
        this.#at.former.addEventListener("click", () => this.#show("done"));
        // what is scrolled to must not end up behind the buttons, however high they are
        new ResizeObserver(([{ target }]) => {
            document.documentElement.style.scrollPaddingBottom = `${target.offsetHeight}px`;
        }).observe(this.#at.foot);
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

/** Whether these words can be among those that are never touched. */
function sparable(words) {
    const known = read(words);
    return known.words.length === 1 && known.problems.length === 0;
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
