/** One polish under way: what arrives is shown at once, and it can be stopped. */

import { make } from "./dom.js";

export class Run {
    #stop = new AbortController();
    #started = performance.now();
    #phase = "Reading";
    /** What each part settled to, one after the other, and the words of the part that is being written. */
    #settled = "";
    #provisional = "";

    /**
     * @param {import("./api.js").Api} api
     * @param {{text: string, model: string, mode: string, keep: string[]}} request
     * @param {{stream: HTMLElement, progress: HTMLProgressElement, phase: HTMLElement, announce: (text: string) => void}} view
     */
    constructor(api, request, view) {
        this.api = api;
        this.request = request;
        this.view = view;
    }

    /** Ends the work, here and on the server; `result` then rejects with an AbortError. */
    stop() {
        this.#stop.abort();
    }

    /**
     * @returns {Promise<{polished: string, model: string, elapsed_ms: number,
     *     changes: import("./parts.js").Change[], kept: import("./parts.js").Kept[]}>}
     */
    async result() {
        this.view.stream.textContent = "";
        this.view.progress.removeAttribute("value");
        const clock = setInterval(() => this.#tick(), 250);
        this.#tick();
        try {
            for await (const message of this.api.polish(this.request, this.#stop.signal)) {
                if (message.event === "queue") this.#queued(message.position);
                if (message.event === "delta") this.#write(this.#settled, this.#provisional + message.text);
                if (message.event === "settled") this.#write(this.#settled + message.text, "");
                if (message.event === "done") return message;
            }
        } finally {
            clearInterval(clock);
        }
    }

    #queued(position) {
        if (position === 0) this.#enter("Reading");
        else if (position === 1) this.#enter("Next in the queue");
        else this.#enter(`Number ${position} in the queue`);
    }

    #write(settled, provisional) {
        this.#enter("Writing");
        [this.#settled, this.#provisional] = [settled, provisional];
        this.view.stream.replaceChildren(settled, make("span", { className: "provisional" }, provisional));
        // a polished text is about as long as the text was; it is finished only when the service says so
        const written = settled.length + provisional.length;
        this.view.progress.value = Math.min(written / this.request.text.length, 0.98);
    }

    #enter(phase) {
        if (phase !== this.#phase) this.view.announce(`${phase}.`);
        this.#phase = phase;
        this.#tick();
    }

    #tick() {
        this.view.phase.textContent = `${this.#phase} · ${Math.floor((performance.now() - this.#started) / 1000)} s`;
    }
}
