/** The HTTP API of a server, and what goes wrong with it. */

/**
 * What went wrong: `code` is for programs, `message` for people, `retryAfterS` where waiting helps. Of an unknown prompt
 * (`unknown_prompt`) `matches` are the nearest styles, `[[name, 0 to 1]…]`; each name is a prompt that the model knows.
 * Of one that is not painted (`policy`) `reason` is that of the server's list.
 */
export class VivaceError extends Error {
  constructor(code, message, { retryAfterS = null, status = 0, matches = [], understood = [], reason = "" } = {}) {
    super(message);
    this.name = "VivaceError";
    this.code = code;
    this.retryAfterS = retryAfterS;
    this.status = status;
    this.matches = matches;
    this.understood = understood;
    this.reason = reason;
  }
}

/** The HTTP API under `/v1`. `server` is its origin ("" for the one this module came from), `token` a bearer token or null. */
export class Api {
  constructor({ server = "", token = null } = {}) {
    this.server = server;
    this.token = token;
  }

  url(path) {
    return new URL(path, this.server || import.meta.url).href;
  }

  async request(method, path, body, headers = {}, signal = undefined) {
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (body !== undefined) headers["Content-Type"] ??= "application/json";
    const told = typeof body === "string" || body instanceof Blob ? body : body && JSON.stringify(body);
    let answer;
    try {
      const keepalive = method === "DELETE";   // outlives a page that is being closed
      answer = await fetch(this.url(path), { method, headers, body: told, cache: "no-store", keepalive, signal });
    } catch {
      throw new VivaceError("unreachable", "The server does not answer. Is `vivace serve` running?");
    }
    if (answer.ok) return answer;
    const error = await answer.json().catch(() => ({}));
    throw new VivaceError(error.code ?? `http_${answer.status}`, error.message ?? `The server answered ${answer.status}.`, {
      status: answer.status, matches: error.matches, reason: error.reason,
      retryAfterS: error.retry_after_s ?? (Number(answer.headers.get("Retry-After")) || null),
    });
  }

  async json(method, path, body, headers, signal) {
    return (await this.request(method, path, body, headers, signal)).json();
  }

  models = async () => (await this.json("GET", "/v1/models")).models;
  presets = async () => (await this.json("GET", "/v1/presets")).presets;
  config = () => this.json("GET", "/v1/config");
}
