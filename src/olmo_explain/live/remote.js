// A repository on the hub, or on a mirror of it, its files read by byte ranges: from a page, with no token.

const SILENCE = 30_000; // milliseconds without a byte, after which nobody waits
const SMALL = 16 * 2 ** 20; // bytes: no config, index or header is longer
const COMMIT = /^[0-9a-f]{40}$/;
const BUSY = [429, 500, 502, 503, 504];

/** What went wrong in one sentence, and what to run in a terminal instead. */
class Unreadable extends Error {
  constructor(what, command) {
    super(`${what} In a terminal: ${command}`);
    Object.assign(this, { what, command });
  }
}

class Remote {
  #known = new Map(); // file → its size and ETag, as far as the server lets a page see them
  /** `command`: what to run in a terminal. `arrived(bytes)` hears of each part of a body. */
  constructor({ hub, repository, revision }, { command, arrived, signal }) {
    Object.assign(this, { hub, repository, revision, command, arrived, signal });
    this.host = new URL(hub).host;
    this.commit = COMMIT.test(revision) ? revision : null; // what the revision stands for, once it is known
  }

  wrong(what) {
    return new Unreadable(what, this.command);
  }

  /** A small file of JSON; null where there is none. */
  async json(name) {
    const bytes = await this.#fetch(name, null);
    return bytes && this.parsed(bytes, name);
  }

  parsed(bytes, name) {
    try {
      return JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      throw this.wrong(`${name} on ${this.host} is no JSON that can be read.`);
    }
  }

  /** Bytes [start, end) of a file. */
  async read(name, start, end) {
    const bytes = await this.#fetch(name, [start, end]);
    if (!bytes) throw this.wrong(`${this.host} has no ${name}, which its index names.`);
    return bytes;
  }

  async #fetch(name, range) {
    const stop = new AbortController();
    const abort = () => stop.abort();
    let [timer, isSilent] = [0, false];
    const listen = () => {
      clearTimeout(timer);
      timer = setTimeout(() => abort((isSilent = true)), SILENCE);
    };
    this.signal?.addEventListener("abort", abort);
    listen();
    try {
      this.signal?.throwIfAborted();
      const response = await this.#ask(name, range, stop.signal);
      const most = range ? range[1] - range[0] : SMALL;
      if (this.#isThere(response, name, range)) return await this.#body(response, name, most, Boolean(range), listen);
      return null;
    } catch (error) {
      if (error instanceof Unreadable) throw error;
      this.signal?.throwIfAborted();
      if (isSilent) throw this.wrong(`${this.host} fell silent.`);
      throw error === "cut" ? this.wrong(`${this.host} cut the connection.`) : error;
    } finally {
      clearTimeout(timer);
      this.signal?.removeEventListener("abort", abort);
      abort(); // what has not been read is not sent
    }
  }

  async #ask(name, range, signal) {
    const path = [this.repository, "resolve", encodeURIComponent(this.commit ?? this.revision), name].join("/");
    const url = `${this.hub}/${path}`;
    // One plain range and no other header: such a request needs no leave to be asked.
    const headers = range ? { Range: `bytes=${range[0]}-${range[1] - 1}` } : {};
    const options = { credentials: "omit", referrerPolicy: "no-referrer", cache: "no-store" };
    try {
      return await fetch(url, { ...options, headers, signal });
    } catch (error) {
      if (signal.aborted) throw error;
      const why = await this.#whyNot(url, { ...options, signal });
      throw signal.aborted ? error : this.wrong(why);
    }
  }

  /** A browser tells no page why nothing came. An answer that a page may not read is one, all the same. */
  async #whyNot(url, options) {
    if (navigator.onLine === false) return "This browser is offline.";
    try {
      await fetch(url, { ...options, method: "HEAD", mode: "no-cors" });
      return `${this.host} answers, but lets no page of another site read what it sends (CORS).`;
    } catch {
      return `${this.host} cannot be reached from this page.`;
    }
  }

  /** Whether an answer holds what was asked for; false where there is no such file. */
  #isThere({ status, headers }, name, range) {
    const host = this.host;
    if (status === 404) return false;
    if (status === 401 || status === 403)
      throw this.wrong(`${host} refuses access (${status}): there is no such model, or it is gated, and a page has no token to show.`);
    if (BUSY.includes(status)) throw this.wrong(`${host} is busy (${status}): try again later.`);
    if (range && status === 200)
      throw this.wrong(`${host} ignores byte ranges and would send the whole file: none of it was read.`);
    if (status !== (range ? 206 : 200)) throw this.wrong(`${host} answered ${status} for ${name}.`);
    const commit = headers.get("X-Repo-Commit");
    if (COMMIT.test(commit)) this.commit = commit; // where a branch moves on, what is read does not
    if (range) this.#check(headers, name, range);
    return true;
  }

  /** Compares what a server lets a page see with what was asked, and with what it said before. */
  #check(headers, name, [start, end]) {
    const [, first, last, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get("Content-Range") ?? "") ?? [];
    if (first !== undefined && (Number(first) !== start || Number(last) !== end - 1))
      throw this.wrong(`${this.host} sends other bytes of ${name} than it was asked for.`);
    const [now, before] = [[size ?? null, headers.get("ETag")], this.#known.get(name)];
    if (before?.some((it, at) => it !== null && now[at] !== null && it !== now[at]))
      throw this.wrong(`${name} on ${this.host} changed while it was read: read it again.`);
    this.#known.set(name, now);
  }

  /** The bytes of an answer: exactly `most`, or up to as many. */
  async #body(response, name, most, isExact, listen) {
    const [parts, reader] = [[], response.body.getReader()];
    let size = 0;
    for (;;) {
      const { done, value } = await reader.read().catch(() => Promise.reject("cut"));
      if (done) break;
      listen();
      parts.push(value);
      size += value.length;
      if (size > most) throw this.wrong(`${this.host} sends more of ${name} than it was asked for.`);
      this.arrived(value.length);
    }
    if (isExact && size < most) throw this.wrong(`${name} on ${this.host} ends too early: it may not be complete.`);
    return joined(parts);
  }
}
