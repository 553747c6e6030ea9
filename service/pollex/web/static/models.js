/** The models to choose from, and whether each can be reached. */

import { explain } from "./explain.js";

/** Providers whose models run on other people's machines: before a text leaves, a person should know. */
const ELSEWHERE = new Set(["claude"]);

export class Models {
    #models = [];
    #adapters = {};

    /**
     * @param {import("./api.js").Api} api
     * @param {HTMLSelectElement} select
     * @param {HTMLElement} status  says in a line whether the chosen model can be reached
     * @param {string} preferred  id of the model to choose if there is one of it, else the first is
     */
    constructor(api, select, status, preferred) {
        this.api = api;
        this.select = select;
        this.status = status;
        this.preferred = preferred;
        select.addEventListener("change", () => this.#say());
    }

    /** Reads what there is and whether it can be reached, and says so; throws ApiError. */
    async refresh() {
        try {
            if (this.#models.length === 0) this.#fill(await this.api.models());
            this.#adapters = (await this.api.health()).adapters;
        } catch (error) {
            this.#tell(explain(error).title, false);
            throw error;
        }
        for (const [index, { id, name }] of this.#models.entries()) {
            const down = this.#adapters[id]?.available === false;
            this.select.options[index].textContent = down ? `${name} (unavailable)` : name;
        }
        this.#say();
    }

    #fill(models) {
        this.#models = models;
        this.select.replaceChildren(...models.map(({ id, name }) => new Option(name, id)));
        if (models.some(({ id }) => id === this.preferred)) this.select.value = this.preferred;
    }

    /** Another model than the one asked for, if `answered` (an id or a name) is one. */
    other(answered, asked) {
        const model = this.#models.find(({ id, name }) => id === answered || name === answered);
        return model && model.id !== asked ? model.name : undefined;
    }

    #say() {
        const chosen = this.#models.find(({ id }) => id === this.select.value);
        const adapter = this.#adapters[chosen?.id];
        if (!chosen) this.#tell("No model is configured", false);
        else if (adapter?.available === false) this.#tell(capital(adapter.reason ?? "unavailable"), false);
        else this.#tell(ELSEWHERE.has(chosen.provider) ? "Ready. Texts are sent to Anthropic" : "Ready", true);
    }

    #tell(text, ready) {
        this.status.textContent = text;
        this.status.dataset.ready = String(ready);
    }
}

function capital(text) {
    return text.charAt(0).toUpperCase() + text.slice(1);
}
