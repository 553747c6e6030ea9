/** The two dialogs: recent texts, and settings. */

/**
 * @param {HTMLDialogElement} dialog
 * @param {import("./store.js").History} history
 * @param {(entry: import("./store.js").Entry) => void} open  takes the entry that was chosen
 */
export function showRecent(dialog, history, open) {
    const list = dialog.querySelector("ul");
    const entries = history.list();
    list.replaceChildren(...entries.map((entry) => item(entry, () => (dialog.close(), open(entry)))));
    if (entries.length === 0) list.append(Object.assign(document.createElement("li"), { textContent: "None yet." }));
    dialog.showModal();
}

function item(entry, choose) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: entry.text.trim().slice(0, 120) });
    const when = new Date(entry.at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    button.append(Object.assign(document.createElement("span"), { className: "muted", textContent: `${when} · ${entry.model}` }));
    button.addEventListener("click", choose);
    const line = document.createElement("li");
    line.append(button);
    return line;
}

/**
 * Ties the settings' controls to what is remembered.
 *
 * @param {HTMLDialogElement} dialog
 * @param {{key: Remembered, theme: Remembered, keep: Remembered}} remembered
 * @param {{onKey: (key: string) => void, onKeep: (keep: boolean) => void}} changes
 */
export function settings(dialog, remembered, { onKey, onKeep }) {
    const [key, rememberKey, keep] = ["#key", "#remember-key", "#keep"].map((id) => dialog.querySelector(id));
    key.value = remembered.key.get();
    rememberKey.checked = key.value !== "";
    keep.checked = remembered.keep.get();
    const keepKey = () => (rememberKey.checked && key.value ? remembered.key.set(key.value) : remembered.key.forget());
    key.addEventListener("change", () => (keepKey(), onKey(key.value)));
    rememberKey.addEventListener("change", keepKey);
    keep.addEventListener("change", () => (remembered.keep.set(keep.checked), onKeep(keep.checked)));

    const theme = dialog.querySelector("#theme");
    const wear = (name) => (document.documentElement.dataset.theme = name);
    wear(remembered.theme.get());
    theme.querySelector(`[value="${remembered.theme.get()}"]`).checked = true;
    theme.addEventListener("change", ({ target }) => (remembered.theme.set(target.value), wear(target.value)));
}
