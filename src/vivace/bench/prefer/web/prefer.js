// One pair after the other: shows it, takes the vote, goes on. What was said so far is the server's to keep.

const $ = (id) => document.getElementById(id);
const SIDES = ["left", "tie", "right"];
const KEYS = { ArrowLeft: "left", ArrowDown: "tie", ArrowRight: "right", Backspace: "back", " ": "pause" };

let address = "";
let pairs = [];
let place = 0;

async function put(path, body) {
  const answer = await fetch(address + path, {
    method: "PUT",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body ?? {}),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.message);
  return said;
}

// Runs what a key or button asks for, one thing at a time, and says what went wrong.
let busy = false;
async function doing(work) {
  if (busy) return;
  busy = true;
  try {
    $("problem").hidden = true;
    await work();
  } catch (error) {
    $("problem").textContent = error instanceof TypeError ? "The server does not answer. Is it still running?" : error.message;
    $("problem").hidden = false;
  } finally {
    busy = false;
  }
}

function only(id) {
  for (const part of ["enter", "judge", "done", "result"]) $(part).hidden = part !== id;
}

function show(next) {
  place = next;
  if (place === pairs.length) {
    $("pair").pause();
    only("done");
    $("show").focus();
    return;
  }
  only("judge");
  const { title, choice } = pairs[place];
  $("asked").textContent = title;
  $("place").textContent = `${place + 1} of ${pairs.length}`;
  for (const side of SIDES) $(side).setAttribute("aria-current", String(choice === side));
  $("back").disabled = place === 0;
  $("pair").src = `${address}/${place}.mp4`;
  paused(false);
}

function paused(pause) {
  $("pause").setAttribute("aria-pressed", String(pause));
  if (pause) $("pair").pause();
  else $("pair").play().catch(() => {});  // cut short by the next pair
}

async function result() {
  const told = await put("/result");
  const [a, b] = told.systems;
  $("a").textContent = a;
  $("b").textContent = b;
  $("share").textContent = `Share of ${a}`;
  const per = (value) => Math.round(100 * value);
  const rows = [[told.all.voters === 1 ? "1 voter" : `${told.all.voters} voters`, told.all], ["You", told.own]];
  $("result").querySelector("tbody").replaceChildren(...rows.map(([who, share]) => {
    const row = document.createElement("tr");
    const cells = [who, share.votes, share.a, share.tie, share.b, `${per(share.share)} % [${per(share.low)}, ${per(share.high)}]`];
    row.append(...cells.map((text, column) => {
      const cell = document.createElement(column ? "td" : "th");
      cell.textContent = text;
      return cell;
    }));
    return row;
  }));
  only("result");
}

const ACTIONS = {
  ...Object.fromEntries(SIDES.map((side) => [side, async () => {
    ({ pairs } = await put(`/${place}`, { choice: side }));
    show(place + 1);
  }])),
  back: () => place && show(place - 1),
  pause: () => paused(!$("pair").paused),
};
for (const [name, act] of Object.entries(ACTIONS)) $(name).addEventListener("click", () => doing(act));
$("again").addEventListener("click", () => show(pairs.length - 1));
$("show").addEventListener("click", () => doing(result));
$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  doing(async () => {
    address = `/ballots/${encodeURIComponent($("voter").value.trim())}`;
    const ballot = await put("");
    ({ pairs } = ballot);
    if (ballot.closed) return result();
    document.activeElement.blur();
    const open = pairs.findIndex(({ choice }) => choice === null);
    return show(open < 0 ? pairs.length : open);
  });
});
$("pair").addEventListener("loadedmetadata", ({ target }) => {
  $("view").style.setProperty("--aspect", target.videoWidth / target.videoHeight);
});
addEventListener("keydown", (event) => {
  const name = KEYS[event.key];
  if ($("judge").hidden || !name || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();  // a focused button would be pressed, too
  doing(ACTIONS[name]);
});
