/** The one place where the page says that something is wrong and what to do. */

export class Notice {
    #timer;

    /** @param {HTMLElement} element  has role=alert, so what appears is read out */
    constructor(element) {
        this.element = element;
    }

    clear() {
        clearInterval(this.#timer);
        this.element.replaceChildren();
    }

    /**
     * @param {import("./explain.js").Explanation} explanation
     * @param {{label: string, act: () => void}} [remedy]  a button that mends it
     */
    show({ title, advice, wait }, remedy) {
        this.clear();
        const heading = Object.assign(document.createElement("strong"), { textContent: title });
        this.element.append(heading, document.createTextNode(advice));
        if (wait !== undefined) this.#countDown(wait);
        if (remedy) this.element.append(this.#button(remedy));
        this.element.scrollIntoView({ block: "nearest" });
    }

    #button({ label, act }) {
        const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
        button.addEventListener("click", act);
        const line = document.createElement("div");
        line.append(button);
        return line;
    }

    /** The seconds go down for the eye only: read out, they would drown everything else. */
    #countDown(seconds) {
        const clock = Object.assign(document.createElement("span"), { ariaHidden: "true" });
        const spoken = Object.assign(document.createElement("span"), { className: "hidden-label", textContent: ` Try again in ${seconds} seconds.` });
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
