// Signing on the screen: what is drawn goes into a hidden field as strokes, "x,y x,y|x,y x,y".

const WIDTH = 1000, HEIGHT = 600, LONGEST = 6000;

for (const place of document.querySelectorAll("[data-sign]")) {
  place.hidden = false;
  const canvas = place.querySelector("canvas");
  const field = place.querySelector("input[name=signature]");
  const pen = canvas.getContext("2d");
  pen.lineWidth = 6;
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = "#212b32";
  let strokes = field.value ? field.value.split("|").map((stroke) => stroke.split(" ")) : [];
  let stroke = null;

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const inside = (value, most) => Math.max(0, Math.min(most, Math.round(value)));
    const x = inside(((event.clientX - box.left) / box.width) * WIDTH, WIDTH);
    const y = inside(((event.clientY - box.top) / box.height) * HEIGHT, HEIGHT);
    return `${x},${y}`;
  };
  const draw = () => {
    pen.clearRect(0, 0, WIDTH, HEIGHT);
    for (const points of strokes) {
      pen.beginPath();
      for (const point of points) pen.lineTo(...point.split(",").map(Number));
      pen.stroke();
    }
  };
  const keep = () => {
    field.value = strokes.filter((points) => points.length > 1).map((points) => points.join(" ")).join("|");
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (field.value.length >= LONGEST - 20) return;
    canvas.setPointerCapture(event.pointerId);
    stroke = [at(event)];
    strokes.push(stroke);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!stroke || field.value.length >= LONGEST - 20) return;
    const point = at(event);
    if (point !== stroke.at(-1)) stroke.push(point);
    keep();
    draw();
  });
  const end = () => { stroke = null; };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  place.querySelector("[data-clear]").addEventListener("click", () => {
    strokes = [];
    keep();
    draw();
  });
  draw();
}
