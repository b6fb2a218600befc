/** The question before a camera is repainted for others: whether the people in it know. Asked once. */
import { $, memory } from "./dom.js";

/** Resolve with whether the people in the picture know, or who asks says so now. */
export function peopleKnow() {
  if (memory.get("people-know", false)) return Promise.resolve(true);
  const dialog = $("consent-dialog");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      const know = dialog.returnValue === "know";
      if (know) memory.set("people-know", true);
      resolve(know);
    };
  });
}
