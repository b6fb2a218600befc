/** The page of the API: the server's own OpenAPI description, readable, from nowhere else. In English, as the description is. */
import { Api } from "../vivace.js";
import { $, el, memory, toast } from "./dom.js";
import { T, writeTexts } from "./language.js";
import { takeToken } from "./tab.js";
import { said } from "./words.js";

const DEEP = 6;   // schemas within schemas that are written out
document.documentElement.dataset.theme = memory.get("theme", "");
writeTexts();
try {
  describe(await new Api({ token: takeToken() }).json("GET", "/openapi.json"));
} catch (error) {
  toast(said(error), { bad: true });
}

function describe({ info, paths, components }) {
  document.title = `${info.title} ${info.version}`;
  $("title").textContent = document.title;
  $("summary").textContent = info.summary ?? "";
  const groups = new Map();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const [group = ""] = operation.tags ?? [];
      groups.set(group, [...(groups.get(group) ?? []), described(path, method, operation, components.schemas)]);
    }
  }
  for (const [group, operations] of groups) $("operations").append(el("h3", {}, group), ...operations);
}

function described(path, method, operation, schemas) {
  const parts = [el("summary", {}, el("b", {}, method.toUpperCase()), el("code", {}, path), el("span", { class: "quiet" }, operation.description ?? ""))];
  const parameters = (operation.parameters ?? []).map(({ name, in: place, required, schema }) => `${name} (${place}${required ? "" : ", optional"}): ${JSON.stringify(written(schema, schemas))}`);
  if (parameters.length) parts.push(el("h4", {}, T.docs.parameters), el("pre", { tabindex: "0" }, parameters.join("\n")));
  for (const [type, { schema }] of Object.entries(operation.requestBody?.content ?? {})) parts.push(...body(T.docs.body, type, schema, schemas));
  for (const [status, { content, description }] of Object.entries(operation.responses ?? {})) {
    if (status === "default" || status === "422") continue;   // errors have one form, which is written once
    const kinds = Object.entries(content ?? {});
    if (!kinds.length) parts.push(el("h4", {}, `${status} ${description}`));
    for (const [type, { schema }] of kinds) parts.push(...body(status, type, schema, schemas));
  }
  return el("details", {}, ...parts);
}

function body(title, type, schema, schemas) {
  const shape = written(schema ?? {}, schemas);
  return [el("h4", {}, `${title} ${type}`), ...(Object.keys(shape).length ? [el("pre", { tabindex: "0" }, JSON.stringify(shape, null, 2))] : [])];
}

/** Return a schema as a value of its form: names with what each holds. */
function written(schema, schemas, depth = 0) {
  const { $ref: ref, anyOf, enum: names, const: only, type, properties, items, additionalProperties: each } = schema;
  if (depth > DEEP) return "…";
  if (ref) return written(schemas[ref.split("/").at(-1)], schemas, depth);
  if (anyOf) {
    const forms = anyOf.map((form) => written(form, schemas, depth));
    return forms.every((form) => typeof form === "string") ? forms.join(" | ") : forms.find((form) => typeof form !== "string");
  }
  if (names) return names.join(" | ");
  if (only !== undefined) return String(only);
  if (properties) return Object.fromEntries(Object.entries(properties).map(([name, inner]) => [name, written(inner, schemas, depth + 1)]));
  if (type === "array") return [written(items ?? {}, schemas, depth + 1)];
  if (each && typeof each === "object") return { "…": written(each, schemas, depth + 1) };
  return type ?? {};
}
