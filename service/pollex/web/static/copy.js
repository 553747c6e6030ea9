import { make } from "./dom.js";

/**
 * Copies a text. The clipboard API exists only on https and on localhost; a board on the local network
 * usually speaks http, where copying a selection is the way that is left.
 */
export async function copy(text) {
    if (navigator.clipboard) {
        await navigator.clipboard.writeText(text);
        return;
    }
    const focused = document.activeElement;
    const area = make("textarea", { value: text, className: "hidden-label" });
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    focused?.focus();
    if (!copied) throw new Error("the browser did not let the page copy");
}
