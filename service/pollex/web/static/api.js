/** The service's HTTP API. */

/** What the service said is wrong; `status` 0 means that no answer came at all. */
export class ApiError extends Error {
    /**
     * @param {number} status
     * @param {string} message  in words, for people
     * @param {{code?: string, size?: number, most?: number, unit?: string, retry_after?: number}} [told]  what the
     * service's error holds beside its words
     */
    constructor(status, message, told = {}) {
        super(message);
        this.name = "ApiError";
        this.status = status;
        this.code = told.code;
        this.size = told.size;
        this.most = told.most;
        this.unit = told.unit;
        this.retryAfter = told.retry_after;
    }
}

/** A connection to a service. */
export class Api {
    /**
     * @param {() => string} key  yields the API key, or an empty string
     * @param {string} [base]  the service's address with a slash at its end; without it, the one that a page came from
     */
    constructor(key, base = "") {
        this.key = key;
        this.base = base;
    }

    /** @returns {Promise<{id: string, name: string, provider: string}[]>} */
    async models() {
        return json(await this.#request("api/models"));
    }

    /** @returns {Promise<{status: string, version: string, adapters: Record<string, {available: boolean, reason?: string}>}>} */
    async health() {
        return json(await this.#request("api/health"));
    }

    /** @returns {Promise<{id: string, name: string, default: boolean}[]>} */
    async modes() {
        return json(await this.#request("api/modes"));
    }

    /**
     * Polishes a text; yields `{event: "queue" | "delta" | "settled" | "done", …data}` as they arrive, `done` last.
     * Aborting `signal` ends the work on the server too.
     *
     * @param {{text: string, model: string, mode: string, keep: string[]}} request
     * @param {AbortSignal} signal
     */
    async *polish({ text, model, mode, keep }, signal) {
        const response = await this.#request("api/polish", {
            method: "POST",
            headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
            body: JSON.stringify({ text, model_id: model, mode, keep, changes: true }),
            signal,
        });
        if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
            yield { event: "done", ...(await json(response)) };
            return;
        }
        for await (const { event, data } of events(chunks(response.body))) {
            const message = parse(data);
            if (event === "error") throw new ApiError(message.status, message.error, message);
            yield { event, ...message };
            if (event === "done") return;
        }
        throw new ApiError(0, "the answer broke off before it was complete");
    }

    async #request(path, { headers = {}, ...options } = {}) {
        const key = this.key();
        const response = await reach(this.base + path, { ...options, headers: key ? { ...headers, "X-API-Key": key } : headers });
        if (!response.ok) throw await refusal(response);
        return response;
    }
}

/** fetch, with "no answer came" as an ApiError; an abort stays an abort. */
async function reach(path, options) {
    try {
        return await fetch(path, options);
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new ApiError(0, "the service does not answer");
    }
}

async function json(response) {
    return parse(await response.text().catch(broken));
}

/** Something else than the service may answer: a proxy, or the network's own login page. */
function parse(text) {
    try {
        return JSON.parse(text);
    } catch {
        throw new ApiError(0, "the answer cannot be read");
    }
}

/** Rejects as an abort does, or else as an ApiError. */
function broken(error) {
    throw error.name === "AbortError" ? error : new ApiError(0, "the connection broke before the answer was complete");
}

async function refusal(response) {
    const body = await response.json().catch(() => ({}));
    const wait = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
    return new ApiError(response.status, body.error ?? `HTTP ${response.status}`, {
        ...body,
        retry_after: Number.isNaN(wait) ? undefined : wait,
    });
}

/** The text of a body, piece by piece; a connection that breaks is an ApiError. */
async function* chunks(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    try {
        for (;;) {
            const { done, value } = await reader.read();
            if (done) return;
            yield value;
        }
    } catch (error) {
        broken(error);
    } finally {
        reader.cancel().catch(() => {});
    }
}

/**
 * Server-sent events out of text pieces that may be cut anywhere.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export async function* events(pieces) {
    let rest = "";
    let [event, data] = ["message", []];
    for await (const piece of pieces) {
        const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/);
        rest = lines.pop();
        for (const line of lines) {
            if (line === "") {
                if (data.length > 0) yield { event, data: data.join("\n") };
                [event, data] = ["message", []];
                continue;
            }
            const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
            if (field === "event") event = value;
            if (field === "data") data.push(value);
        }
    }
}
