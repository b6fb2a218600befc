/** Prints, as JSON, what c2pa-ts finds of the content credentials in a PNG, JPEG or MP4 file. */
import { webcrypto } from "node:crypto";
import { readFile } from "node:fs/promises";

globalThis.crypto ??= webcrypto;   // Node.js 18 has it there only when asked
const { BMFF, JPEG, PNG } = await import("@trustnxt/c2pa-ts/asset");
const { SuperBox } = await import("@trustnxt/c2pa-ts/jumbf");
const { ManifestStore } = await import("@trustnxt/c2pa-ts/manifest");

for (const brand of ["isom", "iso5", "mp42"]) BMFF.canReadBrands.add(brand);   // it only knows pictures of the same format

const bytes = await readFile(process.argv[2]);
const Asset = [PNG, JPEG, BMFF].find((kind) => kind.canRead(bytes));
const asset = new Asset(bytes);
const jumbf = asset.getManifestJUMBF();
if (jumbf) {
  const store = ManifestStore.read(SuperBox.fromBuffer(jumbf));
  const { isValid, statusEntries } = await store.validate(asset);
  const { assertions } = store.getActiveManifest().assertions;
  const actions = assertions.filter(({ label }) => label.startsWith("c2pa.actions")).flatMap((assertion) => assertion.actions);
  const ingredients = assertions.filter(({ label }) => label.startsWith("c2pa.ingredient"));
  console.log(JSON.stringify({
    valid: isValid,
    codes: statusEntries.map(({ code, success }) => [code, success]),
    actions: actions.map(({ action, digitalSourceType = null }) => [action, digitalSourceType]),
    ingredients: ingredients.map(({ title }) => title),
  }));
} else {
  console.log(JSON.stringify(null));
}
