/** The models to choose from, and whether each can be reached. */

/** How often health is asked while the page is looked at, in ms. */
const EVERY = 30_000;

export class Models {
    #models = [];
    #adapters = {};

    /**
     * @param {import("./api.js").Api} api
     * @param {HTMLSelectElement} select
     * @param {HTMLElement} status  says in a line whether the chosen model can be reached
     */
    constructor(api, select, status) {
        this.api = api;
        this.select = select;
        this.status = status;
        select.addEventListener("change", () => this.#say());
    }

    /** Reads the list and chooses `preferred`, or else the first; throws ApiError. */
    async load(preferred) {
        this.#models = await this.api.models();
        this.select.replaceChildren(...this.#models.map(({ id, name }) => new Option(name, id)));
        if (this.#models.some(({ id }) => id === preferred)) this.select.value = preferred;
        await this.refresh();
    }

    /** Asks for health; a service that cannot tell is what is then said. */
    async refresh() {
        try {
            this.#adapters = (await this.api.health()).adapters;
            for (const [index, { id, name }] of this.#models.entries()) {
                this.select.options[index].textContent = this.#adapters[id]?.available === false ? `${name} (unavailable)` : name;
            }
            this.#say();
        } catch {
            this.#tell("The service does not answer", false);
        }
    }

    /** Another model than the one asked for, if `answered` (an id or a name) is one. */
    other(answered, asked) {
        const model = this.#models.find(({ id, name }) => id === answered || name === answered);
        return model && model.id !== asked ? model.name : undefined;
    }

    /** Keeps health current while somebody looks at the page. */
    watch() {
        const look = () => document.visibilityState === "visible" && void this.refresh();
        setInterval(look, EVERY);
        document.addEventListener("visibilitychange", look);
    }

    #say() {
        const chosen = this.#adapters[this.select.value];
        if (this.#models.length === 0) this.#tell("No model is configured", false);
        else if (chosen?.available === false) this.#tell(capital(chosen.reason ?? "unavailable"), false);
        else this.#tell("Ready", true);
    }

    #tell(text, ready) {
        this.status.textContent = text;
        this.status.dataset.ready = String(ready);
    }
}

function capital(text) {
    return text.charAt(0).toUpperCase() + text.slice(1);
}
