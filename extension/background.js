/** What a click on the button, the shortcut or the context menu does: take the selected text to a window of its own. */

const SIZE = { width: 560, height: 640 };

chrome.runtime.onInstalled.addListener(() => {
    chrome.contextMenus.create({ id: "polish", title: "Polish this text", contexts: ["selection", "editable"] });
});
chrome.contextMenus.onClicked.addListener(({ frameId }, tab) => void polish(tab.id, { frameIds: [frameId ?? 0] }));
chrome.action.onClicked.addListener((tab) => void polish(tab.id, { allFrames: true }));

/**
 * @param {number} tabId
 * @param {{frameIds?: number[], allFrames?: boolean}} frames  where to look for the text
 */
async function polish(tabId, frames) {
    const job = { tabId, ...(await grabbed({ tabId, ...frames })) };
    const id = crypto.randomUUID();
    await chrome.storage.session.set({ [id]: job }); // in memory only; the window takes it from there
    await chrome.windows.create({ type: "popup", url: `window.html?job=${id}`, ...SIZE });
}

/** What is selected in a tab; of several frames that of the one with the keyboard. */
async function grabbed(target) {
    try {
        const found = await answers(target);
        const some = found.filter(({ result }) => result);
        const { frameId, result } = some.find((one) => one.result.focused) ?? some[0] ?? { frameId: 0, result: {} };
        return { frameId, ...result };
    } catch {
        return { closed: true }; // the browser's own pages, its shop, and the like
    }
}

/** What the frames say. In the moment after a click it happens that not one of them answers, and does when asked again. */
async function answers(target, tries = 20) {
    const found = await chrome.scripting.executeScript({ target, files: ["grab.js"] });
    if (found.length > 0 || tries === 0) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
    return answers(target, tries - 1);
}
