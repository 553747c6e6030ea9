/** The one place where the page says that something is wrong and what to do. */

import { make } from "./dom.js";

export class Notice {
    #timer;
    #shown;

    /** @param {HTMLElement} element  has role=alert, so what appears is read out */
    constructor(element) {
        this.element = element;
    }

    /** Takes back what is shown; with `only`, no more than what that call of `show` said. */
    clear(only = this.#shown) {
        if (only !== this.#shown) return;
        this.#shown = undefined;
        clearInterval(this.#timer);
        this.element.replaceChildren();
    }

    /**
     * @param {import("./explain.js").Explanation} explanation
     * @param {{label: string, act: () => void}} [remedy]  a button that mends it
     * @returns {object} what `clear` takes
     */
    show({ title, advice, wait }, remedy) {
        this.clear();
        this.#shown = {};
        this.element.append(make("strong", {}, title), advice);
        if (wait !== undefined) this.#countDown(wait);
        if (remedy) this.element.append(this.#button(remedy));
        this.element.scrollIntoView({ block: "nearest" });
        return this.#shown;
    }

    #button({ label, act }) {
        const button = make("button", { type: "button" }, label);
        button.addEventListener("click", act);
        return make("div", {}, button);
    }

    /** The seconds go down for the eye only: read out, they would drown everything else. */
    #countDown(seconds) {
        const clock = make("span", { ariaHidden: "true" });
        const spoken = make("span", { className: "hidden-label" }, ` Try again in ${seconds} seconds.`);
        const until = performance.now() + 1000 * seconds;
        const tick = () => {
            const left = Math.ceil((until - performance.now()) / 1000);
            clock.textContent = left > 0 ? ` Try again in ${left} s.` : " You can try again now.";
            if (left <= 0) clearInterval(this.#timer);
        };
        tick();
        this.#timer = setInterval(tick, 250);
        this.element.append(spoken, clock);
    }
}
