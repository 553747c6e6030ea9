/** The author's text: what a program writes into it can be undone like what a hand does. */

export class Editor {
    /** What "Clear" took away, until something else stands there. */
    #cleared = "";

    /**
     * @param {{text: HTMLTextAreaElement, count: HTMLElement, clear: HTMLButtonElement}} elements
     * @param {(text: string) => void} changed  called after each change, by hand or not
     */
    constructor({ text, count, clear }, changed) {
        this.text = text;
        this.count = count;
        this.clear = clear;
        this.changed = changed;
        text.addEventListener("input", () => this.#input());
        clear.addEventListener("click", () => this.#clear());
    }

    get value() {
        return this.text.value;
    }

    /** Starts with a text; there is nothing to undo yet. */
    start(text) {
        this.text.value = text;
        this.#say();
    }

    /** Puts a text in place of the one there is, as if it had been typed, so that the browser's own undo brings that back. */
    write(text) {
        this.text.focus({ preventScroll: true });
        this.text.select();
        // deprecated and without a successor: only what goes this way is undone by the browser
        document.execCommand(text ? "insertText" : "delete", false, text);
        if (this.text.value === text) return;
        this.text.value = text;
        this.#input();
    }

    #clear() {
        const back = this.#cleared;
        if (!this.value && back) this.write(back);
        else {
            this.#cleared = this.value;
            this.write("");
        }
    }

    #input() {
        if (this.value) this.#cleared = "";
        this.#say();
        this.changed(this.value);
    }

    #say() {
        const words = this.value.match(/\S+/g)?.length ?? 0;
        this.count.textContent = `${words} ${words === 1 ? "word" : "words"} · ${[...this.value].length} characters`;
        this.clear.textContent = this.#cleared ? "Undo clear" : "Clear";
    }
}
