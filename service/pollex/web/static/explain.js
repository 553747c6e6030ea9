/** Turns what went wrong into what a person can do about it. */

/**
 * @typedef {{title: string, advice: string, field?: "text" | "key", wait?: number}} Explanation
 * `field` is what has to change, `wait` the seconds after which trying again makes sense.
 */

/** Seconds to wait where the service refused for now and did not say for how long. */
const DEFAULT_WAIT = 10;

/**
 * @param {import("./api.js").ApiError} error
 * @returns {Explanation}
 */
export function explain({ status, message, code, size, most, unit, retryAfter }) {
    const wait = retryAfter ?? DEFAULT_WAIT;
    if (code === "text_too_long" && size && most !== undefined) {
        return {
            title: `Too long: ${grouped(size)} ${unit}, at most ${grouped(most)} are possible`,
            advice: `Shorten it by about ${Math.ceil((100 * (size - most)) / size)} %, or polish it in parts.`,
            field: "text",
        };
    }
    if (code === "loading") {
        return { title: "The model is being loaded", advice: "It was started a moment ago.", wait };
    }
    switch (status) {
        case 0:
            return { title: "No answer", advice: `${sentence(message)} Is the board on, and are you on its network?` };
        case 401:
            return {
                title: "An API key is needed",
                advice: `${sentence(message)} Enter the one that the service was given.`,
                field: "key",
            };
        case 413:
            return {
                title: "Too long to send",
                advice: "The service takes 64 KiB at most. Polish the text in parts.",
                field: "text",
            };
        case 429:
            return { title: "Too many requests", advice: "The service limits how often one person may ask.", wait };
        case 503:
            return {
                title: "The service cannot take this now",
                advice: `${sentence(message)} Your text is unchanged.`,
                wait,
            };
        case 502:
            return { title: "The model could not finish", advice: `${sentence(message)} Your text is unchanged.` };
        default:
            return { title: "That did not work", advice: sentence(message) };
    }
}

function grouped(number) {
    return new Intl.NumberFormat("en").format(number);
}

function sentence(message) {
    return `${message.charAt(0).toUpperCase()}${message.slice(1)}${/[.!?]$/.test(message) ? "" : "."}`;
}
