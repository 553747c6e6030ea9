/** What a text can be polished for. */

export class Modes {
    #filled = false;

    /**
     * @param {import("./api.js").Api} api
     * @param {HTMLSelectElement} select
     * @param {string} preferred  id of the mode to choose if there is one of it, else the service's default is
     */
    constructor(api, select, preferred) {
        this.api = api;
        this.select = select;
        this.preferred = preferred;
    }

    /** Reads what there is, once; throws ApiError. */
    async refresh() {
        if (this.#filled) return;
        const modes = await this.api.modes();
        this.select.replaceChildren(...modes.map(option));
        const chosen = modes.find(({ id }) => id === this.preferred) ?? modes.find((mode) => mode.default);
        if (chosen) this.select.value = chosen.id;
        this.#filled = true;
    }
}

/** The first words of a mode's name are its title, the rest explains it. */
function option({ id, name }) {
    const entry = new Option(name.split(":")[0], id);
    entry.title = name;
    return entry;
}
