/**
 * Runs in a page when its user asks for it, and only then: finds the selected text and remembers where it stands.
 * What it remembers lies in the extension's own world, which the page cannot see.
 */
(() => {
    const PROSE = new Set(["text", "search"]);
    /** Words of `autocomplete` that nothing may be read from. */
    const SECRET = /^(cc-.*|current-password|new-password|one-time-code)$/;

    globalThis.pollexHeld = undefined;
    const focused = active();
    if (focused && secret(focused)) return { refused: true, focused: true };
    const held = field(focused) ?? editable(focused) ?? selected();
    if (!held?.text.trim()) return undefined;
    globalThis.pollexHeld = held;
    return { text: held.text, writable: Boolean(held.put), focused: document.hasFocus() && focused?.tagName !== "IFRAME" };

    /** The element with the keyboard, also where it is within the shadow of another. */
    function active() {
        let element = document.activeElement;
        while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
        return element;
    }

    function secret(element) {
        const words = (element.getAttribute("autocomplete") ?? "").toLowerCase().split(/\s+/);
        return element.type === "password" || words.some((word) => SECRET.test(word));
    }

    /** Types something over the selection, so that the page hears of it and the browser's undo takes it back. */
    function type(text) {
        // deprecated and without a successor: only what goes this way is undone by the browser
        return document.execCommand(text ? "insertText" : "delete", false, text);
    }

    function field(element) {
        const area = element?.tagName === "TEXTAREA";
        if (!area && !(element?.tagName === "INPUT" && PROSE.has(element.type))) return undefined;
        const marked = element.selectionStart !== element.selectionEnd;
        const [start, end] = marked ? [element.selectionStart, element.selectionEnd] : [0, element.value.length];
        const text = element.value.slice(start, end);
        if (element.readOnly || element.disabled) return { text };
        return { text, put: ({ text: after }) => putIntoField(element, start, end, text, after) };
    }

    function putIntoField(element, start, end, before, after) {
        const old = element.value;
        if (!element.isConnected || secret(element) || old.slice(start, end) !== before) return "changed";
        element.focus();
        element.setSelectionRange(start, end);
        type(after);
        if (element.value === old && after !== before) return "refused";
        return element.value === old.slice(0, start) + after + old.slice(end) ? "done" : "altered";
    }

    function editable(element) {
        if (!element?.isContentEditable) return undefined;
        const host = root(element);
        const selection = (host.getRootNode().getSelection ?? (() => getSelection())).call(host.getRootNode());
        const marked = selection.rangeCount > 0 && !selection.isCollapsed && host.contains(selection.anchorNode);
        const range = marked ? selection.getRangeAt(0).cloneRange() : document.createRange();
        if (!marked) range.selectNodeContents(host);
        const pieces = split(range);
        const text = pieces.map((piece) => piece.gap + piece.text).join("");
        return { text, put: ({ changes }) => putIntoEditable(host, selection, pieces, changes) };
    }

    /** The outermost element that is edited together with this one. */
    function root(element) {
        while (element.parentElement?.isContentEditable) element = element.parentElement;
        return element;
    }

    /**
     * The stretches of text in a range, each within one text node; `gap` is the line break before it, which no node
     * holds, and `at` where the stretch begins in the text as a whole.
     */
    function split(range) {
        const within = range.commonAncestorContainer;
        const walker = document.createTreeWalker(within, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
        const pieces = [];
        let [broken, block, at] = [false, undefined, 0];
        for (let node = within.nodeType === 3 ? within : walker.nextNode(); node; node = walker.nextNode()) {
            if (!range.intersectsNode(node)) continue;
            if (node.nodeType !== 3) {
                broken ||= node.tagName === "BR";
                continue;
            }
            const start = node === range.startContainer ? range.startOffset : 0;
            const end = node === range.endContainer ? range.endOffset : node.data.length;
            if (start === end) continue;
            const own = blockOf(node);
            const gap = pieces.length > 0 && (broken || own !== block) ? "\n" : "";
            const text = node.data.slice(start, end);
            pieces.push({ node, start, end, text, gap, at: at + gap.length });
            [broken, block, at] = [false, own, at + gap.length + text.length];
        }
        return pieces;
    }

    function blockOf(node) {
        let element = node.parentElement;
        while (element.parentElement && getComputedStyle(element).display.startsWith("inline")) element = element.parentElement;
        return element;
    }

    function putIntoEditable(host, selection, pieces, changes) {
        const stands = ({ node, start, end, text }) => node.isConnected && node.data.slice(start, end) === text;
        if (!pieces.every(stands)) return "changed";
        const texts = pieces.map(({ text }) => text);
        let left = 0;
        for (const change of changes.toReversed()) left += apply(change, pieces, texts) ? 0 : 1;
        const touched = pieces.flatMap((piece, index) => (texts[index] === piece.text ? [] : [index]));
        if (touched.length === 0) return left ? "refused" : "done";
        const old = host.textContent;
        host.focus();
        let taken = false;
        if (touched.length > 1) {
            const [first, last] = [touched[0], touched.at(-1) + 1];
            taken = paste(host, select(selection, pieces[first], pieces[last - 1]), pieces.slice(first, last), texts.slice(first, last));
        }
        if (!taken) for (const index of touched.toReversed()) taken = mend(host, selection, pieces[index], texts[index]) || taken;
        if (!taken && host.textContent === old) return "refused";
        return left ? "partly" : "done";
    }

    /** Selects from one place to another. */
    function select(selection, from, to) {
        const range = document.createRange();
        range.setStart(from.node, from.start);
        range.setEnd(to.node, to.end);
        selection.removeAllRanges();
        selection.addRange(range);
        return range;
    }

    /** Types what differs in a stretch: blanks at its ends are the page's, and the browser would make others of them. */
    function mend(host, selection, { node, start, text }, after) {
        const [old, fresh] = [[...text], [...after]];
        let [from, to] = [0, 0];
        const most = Math.min(old.length, fresh.length);
        while (from < most && old[from] === fresh[from]) from++;
        while (to < most - from && old.at(-1 - to) === fresh.at(-1 - to)) to++;
        const [begin, end] = [from, old.length - to].map((place) => start + old.slice(0, place).join("").length);
        const range = select(selection, { node, start: begin }, { node, end });
        const put = fresh.slice(from, fresh.length - to).join("");
        if (handled(host, range, put)) return true;
        type(put);
        return false;
    }

    /** Makes a change in the stretches that it touches; false where a line break is among them, which no node holds. */
    function apply({ start, end, after }, pieces, texts) {
        const over = (piece) =>
            start === end
                ? piece.at <= start && start <= piece.at + piece.text.length
                : piece.at < end && start < piece.at + piece.text.length;
        const found = pieces.map((piece, index) => ({ piece, index })).filter(({ piece }) => over(piece));
        const hit = start === end ? found.slice(0, 1) : found;
        if (hit.length === 0 || start < hit[0].piece.at || hit.slice(1).some(({ piece }) => piece.gap)) return false;
        for (const [order, { piece, index }] of hit.entries()) {
            const from = Math.max(start - piece.at, 0);
            const to = Math.min(end - piece.at, piece.text.length);
            texts[index] = texts[index].slice(0, from) + (order === 0 ? after : "") + texts[index].slice(to);
        }
        return true;
    }

    /** The markup of a range with other words in it. */
    function edited(range, pieces, texts) {
        const fragment = range.cloneContents();
        const copies = document.createTreeWalker(fragment, NodeFilter.SHOW_TEXT);
        let index = 0;
        while (copies.nextNode() && index < pieces.length) {
            if (copies.currentNode.data === pieces[index].text) copies.currentNode.data = texts[index++];
        }
        return fragment;
    }

    /** Offers it as pasting does, which editors of their own make understand; false where none takes it. */
    function paste(host, range, pieces, texts) {
        const box = document.createElement("div");
        box.append(edited(range, pieces, texts));
        const data = new DataTransfer();
        data.setData("text/plain", pieces.map(({ gap }, index) => (index ? gap : "") + texts[index]).join(""));
        data.setData("text/html", box.innerHTML);
        const told = { clipboardData: data, bubbles: true, cancelable: true, composed: true };
        return !host.dispatchEvent(new ClipboardEvent("paste", told));
    }

    /** Whether the page's own editor takes what is about to be typed; not every browser asks it for what no key typed. */
    function handled(host, range, text) {
        const inputType = text ? "insertText" : "deleteContentBackward";
        const told = { inputType, data: text || null, targetRanges: [new StaticRange(range)] };
        return !host.dispatchEvent(new InputEvent("beforeinput", { ...told, bubbles: true, cancelable: true, composed: true }));
    }

    function selected() {
        const text = getSelection().toString();
        return text ? { text } : undefined;
    }
})();
