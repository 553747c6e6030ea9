/** The words and names that are never touched, one a line. */

/** Characters that one of them may have, and how many there may be: `keep` of the service's request. */
const MOST = { characters: 100, entries: 500 };

/**
 * @param {string} text
 * @returns {{words: string[], problems: string[]}}  what can be sent, and why the rest cannot
 */
export function read(text) {
    const words = [];
    const problems = [];
    for (const [index, line] of text.split("\n").entries()) {
        const word = line.trim();
        const size = [...word].length; // by code points, as the service counts
        if (size > MOST.characters) {
            problems.push(`Line ${index + 1} has ${size} characters, at most ${MOST.characters} are possible.`);
        } else if (word && !words.includes(word)) words.push(word);
    }
    if (words.length > MOST.entries) problems.push(`At most ${MOST.entries} are sent, these are ${words.length}.`);
    return { words: words.slice(0, MOST.entries), problems };
}
