/** The service that the options name. */

import { Api } from "./page/api.js";

/** @returns {Promise<{address: string, key: string, mode: string}>} */
export async function options() {
    return chrome.storage.local.get({ address: "", key: "", mode: "" });
}

/** @param {{address: string, key: string}} options */
export function service({ address, key }) {
    return new Api(() => key, `${address.replace(/\/+$/, "")}/`);
}

/**
 * @param {string} typed
 * @returns {string | undefined}  the address with its scheme, undefined where it is none
 */
export function address(typed) {
    const text = typed.trim();
    try {
        const url = new URL(/^https?:\/\//i.test(text) ? text : `http://${text}`);
        return text ? url.href.replace(/\/+$/, "") : undefined;
    } catch {
        return undefined;
    }
}
