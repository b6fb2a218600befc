/** Checks a file of anybody's: whether it says that it is AI-modified, and whether that holds. */
import { $, el, toast } from "./dom.js";
import { T } from "./language.js";
import { said } from "./words.js";

export function installCheck(api) {
  $("check-file").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (!file) return;
    $("check-said").replaceChildren(el("p", {}, T.check.looking(file.name)));
    try {
      const path = `/v1/verify?${new URLSearchParams({ name: file.name.slice(-200) })}`;
      const { verdict, words } = await api.json("POST", path, file, { "Content-Type": "application/octet-stream" });
      $("check-said").replaceChildren(el("p", {}, el("strong", {}, T.check.verdicts[verdict]), ` ${file.name}: ${words}.`));
    } catch (error) {
      $("check-said").replaceChildren();
      toast(said(error), { bad: true });
    }
  });
}
