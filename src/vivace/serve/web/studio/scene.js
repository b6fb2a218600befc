/**
 * The procedural scene: a coast at golden hour, drawn by this page into a canvas, so that the studio can be tried
 * without a camera. Everything is a function of time.
 */
export const SCENE_SIZE = [640, 360];
export const SCENE_FPS = 30;

const HILLS = [
  { base: 196, height: 34, length: 310, speed: 7, colour: "#7d93a8" },
  { base: 222, height: 40, length: 230, speed: 15, colour: "#5f8a6c" },
  { base: 262, height: 34, length: 390, speed: 34, colour: "#3f7a4b" },
];

export function drawScene(ctx, s) {
  const [w, h] = SCENE_SIZE;
  const sky = ctx.createLinearGradient(0, 0, 0, 210);
  sky.addColorStop(0, "#3f86cf");
  sky.addColorStop(0.7, "#a8d4ee");
  sky.addColorStop(1, "#fbe3b4");
  ctx.fillStyle = sky;
  ctx.fillRect(0, 0, w, h);
  disc(ctx, 486, 92, 30, "#ffe9a0");
  for (let i = 0; i < 4; i += 1) cloud(ctx, wrap(i * 210 + 40 - s * (6 + i), w + 200) - 100, 48 + ((i * 37) % 62), 0.7 + (i % 3) * 0.25);
  for (const hill of HILLS.slice(0, 2)) ridge(ctx, hill, s);
  for (let i = 0; i < 7; i += 1) {
    const x = wrap(i * 118 - s * HILLS[1].speed, w + 120) - 60;
    tree(ctx, x, ridgeAt(HILLS[1], x, s) + 4, 0.55 + (i % 3) * 0.12);
  }
  ridge(ctx, HILLS[2], s);
  house(ctx, wrap(430 - s * HILLS[2].speed, w + 260) - 130, s);
  for (let i = 0; i < 5; i += 1) {
    const x = wrap(i * 190 + 70 - s * HILLS[2].speed, w + 190) - 95;
    tree(ctx, x, ridgeAt(HILLS[2], x, s) + 6, 1 + (i % 2) * 0.35);
  }
  road(ctx, s);
  balloon(ctx, 168 + 34 * Math.sin(s * 0.23), 98 + 14 * Math.sin(s * 0.61), s);
  van(ctx, 318 + 54 * Math.sin(s * 0.31), 312 + Math.sin(s * 9) * 0.8, s);
}

const wrap = (x, length) => ((x % length) + length) % length;

function ridgeAt({ base, height, length, speed }, x, s) {
  const at = (x + s * speed) / length;
  return base - height * (0.5 + 0.32 * Math.sin(at * 6.283) + 0.18 * Math.sin(at * 15.1 + 1.7));
}

function ridge(ctx, hill, s) {
  const [w, h] = SCENE_SIZE;
  ctx.fillStyle = hill.colour;
  ctx.beginPath();
  ctx.moveTo(0, h);
  for (let x = 0; x <= w; x += 8) ctx.lineTo(x, ridgeAt(hill, x, s));
  ctx.lineTo(w, h);
  ctx.fill();
}

function disc(ctx, x, y, r, colour) {
  ctx.fillStyle = colour;
  ctx.beginPath();
  ctx.arc(x, y, r, 0, 7);
  ctx.fill();
}

function cloud(ctx, x, y, k) {
  for (const [dx, dy, r] of [[0, 0, 17], [20, -9, 21], [44, -3, 18], [62, 4, 12]]) disc(ctx, x + dx * k, y + dy * k, r * k, "#fffdf6");
  ctx.fillRect(x - 8 * k, y, 76 * k, 15 * k);
}

function tree(ctx, x, y, k) {
  ctx.fillStyle = "#6b4a33";
  ctx.fillRect(x - 3 * k, y - 18 * k, 6 * k, 20 * k);
  disc(ctx, x, y - 34 * k, 17 * k, "#2f6b3c");
  disc(ctx, x - 6 * k, y - 40 * k, 11 * k, "#4c9152");
}

function house(ctx, x, s) {
  const y = ridgeAt(HILLS[2], x + 30, s) + 14;
  ctx.fillStyle = "#f3ead9";
  ctx.fillRect(x, y - 46, 74, 46);
  ctx.fillStyle = "#c2513c";
  ctx.beginPath();
  ctx.moveTo(x - 8, y - 45);
  ctx.lineTo(x + 37, y - 80);
  ctx.lineTo(x + 82, y - 45);
  ctx.fill();
  ctx.fillStyle = "#42566b";
  ctx.fillRect(x + 9, y - 36, 16, 15);
  ctx.fillRect(x + 49, y - 36, 16, 15);
  ctx.fillStyle = "#7a4b31";
  ctx.fillRect(x + 30, y - 30, 15, 30);
}

function road(ctx, s) {
  const [w, h] = SCENE_SIZE;
  ctx.fillStyle = "#6c8a4a";
  ctx.fillRect(0, 286, w, h);
  ctx.fillStyle = "#565b62";
  ctx.fillRect(0, 300, w, 44);
  ctx.fillStyle = "#e8e1cf";
  for (let i = 0; i < 9; i += 1) ctx.fillRect(wrap(i * 92 - s * 110, 828) - 92, 320, 44, 4);
}

function balloon(ctx, x, y, s) {
  ctx.save();
  ctx.translate(x, y);
  ctx.rotate(0.05 * Math.sin(s * 0.8));
  disc(ctx, 0, 0, 40, "#d8433b");
  ctx.fillStyle = "#f6c445";
  ctx.beginPath();
  ctx.ellipse(0, 0, 15, 40, 0, 0, 7);
  ctx.fill();
  ctx.strokeStyle = "#4a3526";
  ctx.beginPath();
  ctx.moveTo(-22, 33);
  ctx.lineTo(-7, 62);
  ctx.moveTo(22, 33);
  ctx.lineTo(7, 62);
  ctx.stroke();
  ctx.fillStyle = "#8a5a34";
  ctx.fillRect(-9, 61, 18, 13);
  ctx.restore();
}

function van(ctx, x, y, s) {
  ctx.fillStyle = "#e07b39";
  ctx.beginPath();
  ctx.roundRect(x - 54, y - 42, 108, 40, [14, 18, 6, 6]);
  ctx.fill();
  ctx.fillStyle = "#fbf3e2";
  ctx.fillRect(x - 54, y - 22, 108, 6);
  ctx.fillStyle = "#bfe0ee";
  for (const dx of [-44, -14, 18]) ctx.fillRect(x + dx, y - 37, 24, 13);
  for (const dx of [-31, 31]) {
    disc(ctx, x + dx, y, 11, "#22252a");
    disc(ctx, x + dx, y, 5, "#c9cdd2");
    disc(ctx, x + dx + 3 * Math.cos(s * 12), y + 3 * Math.sin(s * 12), 1.6, "#22252a");
  }
}
