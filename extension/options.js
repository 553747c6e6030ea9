/** The options: where the service is, and whether it answers. */

import { explain } from "./page/explain.js";
import { Notice } from "./page/notice.js";
import { address, options, service } from "./service.js";

const at = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
const notice = new Notice(at.notice);

/** Stores what stands there and asks the service; what it says is shown. */
async function test() {
    notice.clear();
    at.status.textContent = "";
    at.allow.hidden = true;
    const url = address(at.address.value);
    if (!url) return notice.show({ title: "This is no address", advice: "It looks like http://jetson.local:8090." });
    at.address.value = url;
    await chrome.storage.local.set({ address: url, key: at.key.value });
    try {
        const api = service(await options());
        const { version } = await api.health();
        const models = await api.models(); // asks for the key, which health does not
        at.status.textContent = `pollex ${version} answers, with ${models.map(({ name }) => name).join(", ")}.`;
    } catch (error) {
        notice.show(explain(error));
        if (error.status === 0 && !(await chrome.permissions.contains(origins(url)))) offer();
    }
}

/** The browser may keep an extension from addresses that its user did not allow. */
function offer() {
    notice.element.append(
        " If it is: browsers keep extensions from some addresses, above all those of the local network, until you allow them.",
    );
    at.allow.hidden = false;
}

/** Patterns of hosts have no port. */
function origins(url) {
    const { protocol, hostname } = new URL(url);
    return { origins: [`${protocol}//${hostname}/*`] };
}

at.options.addEventListener("submit", (event) => {
    event.preventDefault();
    void test();
});
at.allow.addEventListener("click", async () => {
    if (await chrome.permissions.request(origins(at.address.value))) await test();
});
const stored = await options();
at.address.value = stored.address;
at.key.value = stored.key;
document.documentElement.dataset.ready = "true";
