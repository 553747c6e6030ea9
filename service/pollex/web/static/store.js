/** What this browser remembers. Nothing here is ever sent anywhere. */

/** How many texts are kept. */
const KEPT = 10;

/**
 * @typedef {{at: number, model: string, text: string, changes: import("./parts.js").Change[],
 *     kept: import("./parts.js").Kept[]}} Entry  `at` in ms since 1970
 */

/** A value under a name; where storage is full or forbidden (then even naming it throws) it is only forgotten. */
export class Remembered {
    constructor(name, fallback) {
        this.name = `pollex.${name}`;
        this.fallback = fallback;
    }

    get() {
        try {
            return JSON.parse(localStorage.getItem(this.name)) ?? this.fallback;
        } catch {
            return this.fallback;
        }
    }

    set(value) {
        try {
            localStorage.setItem(this.name, JSON.stringify(value));
        } catch {
            this.forget();
        }
    }

    forget() {
        try {
            localStorage.removeItem(this.name);
        } catch {
            // a storage that is forbidden holds nothing
        }
    }
}

/** The last texts, newest first. */
export class History {
    #entries = new Remembered("history", []);

    /** @returns {Entry[]} */
    list() {
        return this.#entries.get().filter(({ changes, kept }) => changes && kept);
    }

    /** @param {Entry} entry  replaces an older one of the same text */
    add(entry) {
        const others = this.list().filter(({ text }) => text !== entry.text);
        this.#entries.set([entry, ...others].slice(0, KEPT));
    }

    clear() {
        this.#entries.forget();
    }
}
