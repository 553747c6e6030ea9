/** What was copied from a page or a document, as Markdown: its links and lists would be lost in plain text. */

const BLOCKS = new Set("ADDRESS ARTICLE BLOCKQUOTE DIV H1 H2 H3 H4 H5 H6 HEADER FOOTER P PRE SECTION TABLE TR UL OL".split(" "));
const UNSEEN = new Set(["STYLE", "SCRIPT", "TEMPLATE", "HEAD", "TITLE"]);

/**
 * @param {Node} root  a document's body
 * @returns {string | undefined}  undefined where there is neither link nor list, so that plain text is as good
 */
export function markdown(root) {
    if (![...root.querySelectorAll("a[href], li")].some((one) => one.tagName === "LI" || linked(one))) return undefined;
    return inside(root, 0)
        .replace(/(\S) {2,}/g, "$1 ")
        .replace(/[ \t]+\n/g, "\n")
        .replace(/\n{3,}/g, "\n\n")
        .trim();
}

/** Whether a link says something else than where it leads. */
function linked(link) {
    return /^(https?|mailto):/.test(link.getAttribute("href")) && link.textContent.trim() !== link.getAttribute("href");
}

function inside(node, depth) {
    return [...node.childNodes].map((child) => written(child, depth)).join("");
}

function written(node, depth) {
    if (node.nodeType === 3) return node.data.replace(/[ \t\r\n]+/g, " ");
    if (node.nodeType !== 1 || UNSEEN.has(node.tagName)) return "";
    switch (node.tagName) {
        case "BR":
            return "\n";
        case "A":
            return linked(node) ? link(node, depth) : inside(node, depth);
        case "UL":
        case "OL":
            return list(node, depth);
        case "TD":
        case "TH":
            return `${inside(node, depth)} `;
        default:
            return BLOCKS.has(node.tagName) ? `\n\n${inside(node, depth).trim()}\n\n` : inside(node, depth);
    }
}

function link(node, depth) {
    const words = inside(node, depth);
    const bare = words.trim();
    if (!bare) return words;
    const around = words.split(bare);
    return `${around[0]}[${bare}](${node.getAttribute("href")})${around[1]}`;
}

function list(node, depth) {
    const items = [...node.children].filter(({ tagName }) => tagName === "LI");
    const lines = items.map((item, index) => {
        const mark = node.tagName === "OL" ? `${Number(node.getAttribute("start") ?? 1) + index}. ` : "- ";
        const text = inside(item, depth + 1).trim().replace(/\n{2,}/g, "\n");
        return mark + text.replaceAll("\n", `\n${" ".repeat(mark.length)}`);
    });
    return depth === 0 ? `\n\n${lines.join("\n")}\n\n` : `\n${lines.join("\n")}\n`;
}
