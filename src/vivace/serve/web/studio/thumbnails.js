/** The presets' pictures, painted from the source's own first picture in moments that no stream needs. */
import { delay } from "./dom.js";

const SETTLE_MS = 2_000;   // until a camera has found its exposure

export class Thumbnails {
  #painted = []; #stage; #prompts;

  constructor(stage, prompts) {
    this.#stage = stage;
    this.#prompts = prompts;
  }

  /** Paint them once for each source and model, as long as both are the `current` ones, `{session, source}`, of a live session. */
  async repaint(current) {
    const { session, source } = current();
    const of = [source, session?.model];
    if (session?.state !== "live" || of.every((each, i) => each === this.#painted[i])) return;
    this.#painted = of;
    const ours = () => source === current().source && session === current().session && session.state === "live";
    await delay(SETTLE_MS);
    if (!ours() || !this.#stage.before.videoWidth) return;
    const picture = this.#stage.sourcePicture();
    const paint = async (prompt) => {
      while (ours()) {
        if (!document.hidden) {
          try {
            return await session.thumbnail(prompt, picture);
          } catch (error) {
            if (["unknown_prompt", "policy"].includes(error.code)) return null;
            if (error.code !== "busy") throw error;
          }
        }
        await delay(SETTLE_MS);
      }
      throw new Error("the stream is another");
    };
    await this.#prompts.repaintPictures(paint).catch(({ code, message }) => {
      console.info("vivace: presets keep their pictures:", message);
      if (code !== "no_thumbnail" && this.#painted === of) this.#painted = [];
    });
  }
}
