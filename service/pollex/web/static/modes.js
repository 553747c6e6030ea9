/** What a text can be polished for. */

import { make } from "./dom.js";

export class Modes {
    /**
     * @param {import("./api.js").Api} api
     * @param {HTMLElement} group  gets a button for each mode
     * @param {string} preferred  id of the mode to choose if there is one of it, else the service's default is
     */
    constructor(api, group, preferred) {
        this.api = api;
        this.group = group;
        this.preferred = preferred;
    }

    /** The id of the chosen mode; empty as long as none is known. */
    get value() {
        return this.group.querySelector(":checked")?.value ?? "";
    }

    /** Reads what there is, once; throws ApiError. */
    async refresh() {
        if (this.value) return;
        const modes = await this.api.modes();
        if (this.value) return; // another call was quicker
        const chosen = modes.find(({ id }) => id === this.preferred) ?? modes.find((mode) => mode.default) ?? modes[0];
        this.group.append(...modes.map((mode) => choice(mode, mode === chosen)));
    }
}

/** The first words of a mode's name are its title, the rest explains it. */
function choice({ id, name }, checked) {
    const radio = make("input", { type: "radio", name: "mode", value: id, checked });
    return make("label", { title: name }, radio, ` ${name.split(":")[0]}`);
}
