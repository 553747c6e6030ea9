/** Texts that come into the field otherwise than by typing: pasted from a document, or as a file. */

import { markdown } from "./markdown.js";

/** Bytes; the service takes no more in a request. */
const MOST = 64 * 1024;
const PLAIN = /\.(txt|text|md|markdown)$/i;

/** Parsing runs no script and loads nothing; where the page's policy asks for it, this says that it is meant. */
const trusted = globalThis.trustedTypes?.createPolicy("paste", { createHTML: (html) => html }) ?? {
    createHTML: (html) => html,
};

/**
 * @param {HTMLTextAreaElement} field
 * @param {{take: (text: string) => void, refuse: (why: import("./explain.js").Explanation) => void}} acts  what becomes
 * of a file's text, or of a file that cannot be read
 */
export function intake(field, { take, refuse }) {
    field.addEventListener("paste", (event) => {
        const html = event.clipboardData.getData("text/html");
        const text = html && markdown(parsed(html).body);
        if (!text) return;
        event.preventDefault();
        document.execCommand("insertText", false, text); // so that it can be undone
    });
    field.addEventListener("dragover", (event) => {
        if (event.dataTransfer.types.includes("Files")) event.preventDefault();
    });
    field.addEventListener("drop", (event) => {
        const [file] = event.dataTransfer.files;
        if (!file) return;
        event.preventDefault();
        void open(file, { take, refuse });
    });
}

/** Without its styles and handlers, of which the page's policy would complain in the console. */
function parsed(html) {
    const plain = html
        .replace(/<style[\s\S]*?<\/style>/gi, "")
        .replace(/<[a-z][^<>]*>/gi, (tag) => tag.replace(/\s(style|on\w+)=("[^"]*"|'[^']*')/gi, ""));
    return new DOMParser().parseFromString(trusted.createHTML(plain), "text/html");
}

/** Reads a file on this machine. */
export async function open(file, { take, refuse }) {
    if (!PLAIN.test(file.name) && file.type !== "text/plain") {
        const advice = "Only .txt and .md files can be. Of others, copy the text.";
        return refuse({ title: `“${file.name}” cannot be read`, advice });
    }
    if (file.size > MOST) {
        return refuse({ title: `“${file.name}” is too long`, advice: "At most 64 KiB are possible. Polish it in parts." });
    }
    try {
        take(decoded(await file.arrayBuffer()).replaceAll("\r\n", "\n"));
    } catch {
        refuse({ title: `“${file.name}” cannot be read`, advice: "It is no text in UTF-8 or UTF-16." });
    }
}

function decoded(bytes) {
    const [first, second] = new Uint8Array(bytes);
    const wide = (first === 0xff && second === 0xfe && "utf-16le") || (first === 0xfe && second === 0xff && "utf-16be");
    return new TextDecoder(wide || "utf-8", { fatal: true }).decode(bytes);
}
