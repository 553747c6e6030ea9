/** The two dialogs: recent texts, and settings. */

import { make } from "./dom.js";
import { read } from "./spared.js";

/** How many characters of a text tell it from others. */
const TITLE = 120;

/**
 * @param {HTMLDialogElement} dialog
 * @param {import("./store.js").History} history
 * @param {(entry: import("./store.js").Entry) => void} open  takes the entry that was chosen
 */
export function showRecent(dialog, history, open) {
    const items = history.list().map((entry) =>
        item(entry, () => {
            dialog.close();
            open(entry);
        }),
    );
    const none = make("li", {}, "None yet.");
    dialog.querySelector("ul").replaceChildren(...(items.length > 0 ? items : [none]));
    dialog.showModal();
}

function item(entry, choose) {
    const when = new Date(entry.at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    const facts = make("span", { className: "muted" }, `${when} · ${entry.model}`);
    const button = make("button", { type: "button", dir: "auto" }, entry.text.trim().slice(0, TITLE), facts);
    button.addEventListener("click", choose);
    return make("li", {}, button);
}

/**
 * Ties the settings' controls to what is remembered.
 *
 * @param {HTMLDialogElement} dialog
 * @param {{key: Remembered, theme: Remembered, keep: Remembered, spared: Remembered}} remembered
 * @param {{onKey: (key: string) => void, onKeep: (keep: boolean) => void}} changes
 */
export function settings(dialog, remembered, { onKey, onKeep }) {
    keySettings(dialog, remembered.key, onKey);
    sparedSettings(dialog, remembered.spared);
    const keep = dialog.querySelector("#keep");
    keep.checked = remembered.keep.get();
    keep.addEventListener("change", () => {
        remembered.keep.set(keep.checked);
        onKeep(keep.checked);
    });
    const wear = (theme) => (document.documentElement.dataset.theme = theme);
    wear(remembered.theme.get());
    for (const choice of dialog.querySelectorAll("[name=theme]")) {
        choice.checked = choice.value === remembered.theme.get();
        choice.addEventListener("change", () => {
            remembered.theme.set(choice.value);
            wear(choice.value);
        });
    }
}

/** Stores what can be sent, and says of the rest why not as long as it stands there. */
function sparedSettings(dialog, remembered) {
    const [spared, problem] = ["#spared", "#spared-problem"].map((id) => dialog.querySelector(id));
    spared.value = remembered.get().join("\n");
    const check = () => {
        const { words, problems } = read(spared.value);
        problem.textContent = problems.join(" ");
        spared.ariaInvalid = String(problems.length > 0);
        return words;
    };
    spared.addEventListener("input", check);
    spared.addEventListener("change", () => remembered.set(check()));
}

function keySettings(dialog, remembered, onKey) {
    const [key, remember] = ["#key", "#remember-key"].map((id) => dialog.querySelector(id));
    key.value = remembered.get();
    remember.checked = key.value !== "";
    const store = () => (remember.checked && key.value ? remembered.set(key.value) : remembered.forget());
    remember.addEventListener("change", store);
    key.addEventListener("change", () => {
        store();
        onKey(key.value);
    });
}
