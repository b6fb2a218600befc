/** MIDI controllers of this computer: what they send, as moves of a named knob or button. */

const CONTINUOUS = { 0xb0: "cc", 0xe0: "bend" };
const HALF = 0.5;

/**
 * What a message says, `{key, kind, number, channel, value, pressed}`, or null where nothing moves: `key` names the knob or button among
 * all of its controller, `value` is 0 to 1, and `pressed` says whether a button went down: a note, or a controller that passed its middle.
 */
export function readMidi(data, before = 0) {
  const [status, first = 0, second = 0] = data;
  const command = status & 0xf0;
  const channel = (status & 0x0f) + 1;
  if (command === 0x90 || command === 0x80) {
    const value = command === 0x90 ? second / 127 : 0;
    return { key: `note ${first}/${channel}`, kind: "note", number: first, channel, value, pressed: value > 0 };
  }
  const kind = CONTINUOUS[command];
  if (!kind) return null;   // clock, pressure, programs
  const value = kind === "cc" ? second / 127 : (first + 128 * second) / 16383;
  return { key: kind === "cc" ? `cc ${first}/${channel}` : `bend/${channel}`, kind, number: kind === "cc" ? first : 0, channel, value, pressed: before < HALF && value >= HALF };
}

/** The controllers that are plugged in, now and later. */
export class Midi extends EventTarget {
  #access = null; #values = new Map();

  static get possible() {
    return "requestMIDIAccess" in navigator;
  }

  /** Whether the browser has said yes before, so that nobody is asked. */
  static async allowed() {
    try {
      return (await navigator.permissions.query({ name: "midi" })).state === "granted";
    } catch {
      return false;   // a browser that does not know this permission
    }
  }

  get open() {
    return this.#access !== null;
  }

  /** Names of what is plugged in. */
  get names() {
    return [...(this.#access?.inputs.values() ?? [])].filter(({ state }) => state !== "disconnected").map(({ name }) => name ?? "MIDI");
  }

  /** Ask for them. Rejects where the browser or a person refuses. */
  async connect() {
    if (this.#access) return;
    this.#access = await navigator.requestMIDIAccess();
    this.#access.onstatechange = () => this.#listen();
    this.#listen();
  }

  // One that is plugged in again is another object.
  #listen() {
    for (const input of this.#access.inputs.values()) input.onmidimessage = ({ data }) => this.#take(input.name ?? "MIDI", data);
    this.dispatchEvent(new Event("plugged"));
  }

  #take(name, data) {
    const key = `${name} ${data[0]} ${data[0] < 0xe0 ? data[1] : ""}`;
    const move = readMidi(data, this.#values.get(key));
    if (!move) return;
    this.#values.set(key, move.value);
    this.dispatchEvent(new CustomEvent("move", { detail: { ...move, controller: name } }));
  }
}
