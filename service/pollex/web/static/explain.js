/** Turns what went wrong into what a person can do about it. */

/**
 * @typedef {{title: string, advice: string, field?: "text" | "key", wait?: number}} Explanation
 * `field` is what has to change, `wait` the seconds after which trying again makes sense.
 */

/** Seconds to wait where the service refused for now and did not say for how long. */
const DEFAULT_WAIT = 10;

/**
 * @param {{status: number, message: string, retryAfter?: number}} error
 * @returns {Explanation}
 */
export function explain({ status, message, retryAfter }) {
    const wait = retryAfter ?? DEFAULT_WAIT;
    const tooLong = /^text too long: (\d+) (tokens|characters) \(max (\d+)\)/.exec(message);
    if (tooLong) {
        const [count, unit, most] = [Number(tooLong[1]), tooLong[2], Number(tooLong[3])];
        return {
            title: `Too long: ${grouped(count)} ${unit}, at most ${grouped(most)} are possible`,
            advice: `Shorten it by about ${Math.ceil((100 * (count - most)) / count)} %, or polish it in parts.`,
            field: "text",
        };
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
        case 504:
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
