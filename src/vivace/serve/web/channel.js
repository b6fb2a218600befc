/** The control channel of a session: a WebSocket that notices when its network is gone, and what is asked over it. */
import { VivaceError } from "./api.js";

const ACK_TIMEOUT_MS = 60_000;   // of a server that speaks: a prompt may have networks loaded first
const PING_MS = 3_000;
const LOOK_MS = 500;         // between two looks at the line
const SILENCE_MS = 3_000;    // of a server that speaks twice a second; then it is asked
const ANSWER_MS = 2_000;     // for that answer; then the line is given up

export class ControlChannel {
  #socket = null; #pending = new Map(); #nextId = 1; #heardMs = 0; #askedMs = 0; #pinging = 0; #looking = 0;
  #hear; #closed; #silent; #presented;

  /**
   * `hear(message)` is called with what the server says, `closed(code)` when it has closed the channel, and `silent()` when it does
   * not answer; `presented()` returns what a ping tells of the pictures that were shown.
   */
  constructor({ hear, closed, silent, presented }) {
    this.#hear = hear;
    this.#closed = closed;
    this.#silent = silent;
    this.#presented = presented;
  }

  /** Whether it is open, or being opened. */
  get active() {
    return this.#socket !== null;
  }

  open(url) {
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      this.#heardMs = performance.now();
      this.#askedMs = 0;
      this.#hear(JSON.parse(data));
    };
    socket.onclose = ({ code }) => socket === this.#socket && this.#closed(code);
    this.#heardMs = performance.now();
    this.#askedMs = 0;
    this.#pinging = setInterval(() => this.#ping(), PING_MS);
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Close it, or do nothing; what was asked stays open. */
  close() {
    clearInterval(this.#pinging);
    clearInterval(this.#looking);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /** Ask the server whether it is there: `silent` is called if it does not answer. */
  check() {
    this.#askedMs ||= performance.now();
    this.#ping();
  }

  // A socket whose network is gone says nothing of it for minutes, and no more after a sleep. So the server is asked.
  #look() {
    const nowMs = performance.now();
    if (!this.#askedMs && nowMs - this.#heardMs > SILENCE_MS) this.check();
    if (this.#askedMs && nowMs - this.#askedMs > ANSWER_MS) this.#silent();
  }

  #ping() {
    this.say({ type: "ping", presented: this.#presented() });
  }

  /** Send a message. Returns whether the channel is open for it. */
  say(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /**
   * Send a message that is answered, with an id. Returns whether it was sent. The answer is for whoever hears it to give to the
   * waiter, `{resolve, reject, settled?}`, by `settle` or `refuse`; without one in time it is rejected.
   */
  ask(message, waiter) {
    const id = String(this.#nextId++);
    if (!this.say({ ...message, id })) return false;
    waiter.timer = setTimeout(() => this.refuse({ id, code: "timeout", message: "The server did not answer in time." }), ACK_TIMEOUT_MS);
    this.#pending.set(id, waiter);
    return true;
  }

  /** Return the waiter for an answer, which waits no more, or null. */
  settle(id) {
    const waiter = this.#pending.get(id);
    if (!waiter) return null;
    this.#pending.delete(id);
    clearTimeout(waiter.timer);
    waiter.settled?.();
    return waiter;
  }

  /** Reject what was asked by its id. Returns whether it was. */
  refuse({ id, code, message }) {
    const waiter = this.settle(id);
    waiter?.reject(new VivaceError(code, message));
    return waiter !== null;
  }

  /** Reject all that was asked. */
  rejectAll(error) {
    for (const id of [...this.#pending.keys()]) this.settle(id).reject(error);
  }
}

/** Updates of controls, one under way at a time; of those that wait, the newest values of the same controls win. */
export class Updates {
  #waiting = []; #underWay = false; #ask; #accepted;

  /**
   * `ask(message, waiter)` is the channel's, while updates are taken; `accepted(controls, ack, sinceMs)` is called with what the server
   * has accepted, and when it was asked for.
   */
  constructor({ ask, accepted }) {
    this.#ask = ask;
    this.#accepted = accepted;
  }

  /** Change controls. Resolves with the server's ack; rejects with a VivaceError saying why nothing was changed. */
  add(controls) {
    return new Promise((resolve, reject) => {
      const last = this.#waiting.at(-1);
      const keys = Object.entries(controls).map(([key, value]) => (key === "options" ? `${key} ${Object.keys(value).sort()}` : key)).sort().join();
      if (last && last.keys === keys) {
        last.controls = controls;
        last.waiters.push({ resolve, reject });
      } else {
        this.#waiting.push({ keys, controls, waiters: [{ resolve, reject }], sinceMs: performance.now() });
      }
      this.flush();
    });
  }

  /** Ask for the next, if it can be. */
  flush() {
    if (this.#underWay || !this.#waiting.length) return;
    const { controls, waiters, sinceMs } = this.#waiting[0];
    this.#underWay = this.#ask({ type: "update", controls }, {
      settled: () => {
        this.#underWay = false;
        queueMicrotask(() => this.flush());
      },
      resolve: (ack) => {
        if (ack.accepted) this.#accepted(controls, ack, sinceMs);
        const error = new VivaceError(ack.code, ack.message, { matches: ack.matches, understood: ack.understood, reason: ack.reason });
        waiters.forEach((waiter) => (ack.accepted ? waiter.resolve(ack) : waiter.reject(error)));
      },
      reject: (error) => waiters.forEach((waiter) => waiter.reject(error)),
    });
    if (this.#underWay) this.#waiting.shift();
  }

  /** Reject those that wait. */
  rejectAll(error) {
    for (const { waiters } of this.#waiting.splice(0)) waiters.forEach((waiter) => waiter.reject(error));
  }
}
