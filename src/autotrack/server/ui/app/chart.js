// Curves of one metric, drawn by uPlot.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { points } from "./api.js";
import { curve } from "./curve.js";
import { html } from "./html.js";
import { useLoaded } from "./live.js";
import { Problem, useSeen, useWidth } from "./parts.js";
import { clockTime, duration, number, plain, tick } from "./text.js";

/** @typedef {import("./curve.js").Curve} Curve */
/** @typedef {import("./curve.js").Over} Over */
/** @typedef {import("./api.js").Run} Run */
/** @typedef {{run: Run, look: import("./colour.js").Look, label: string}} Series */

const HEIGHT = 180;
const STEP_PX = 100; // the width that is asked for is rounded, so that a resize does not fetch anew
const MOST_EXACT = 1_000_000; // points of a curve that is fetched whole when one looks closer
const MARK = 4; // px

/**
 * @param {{name: string, series: Series[], over: Over, log: boolean, height?: number}} props
 */
export function Chart({ name, series, over, log, height = HEIGHT }) {
  const [seenRef, seen] = useSeen();
  const [widthRef, width] = useWidth();
  const [isClose, setClose] = useState(false);
  const most = Math.ceil(width / STEP_PX) * STEP_PX;
  const told = series.filter(({ run }) => name in run.metrics);
  const counts = told.map(({ run }) => run.metrics[name].count);
  const exact = isClose && counts.every((count) => count <= MOST_EXACT);

  const key = JSON.stringify([name, told.map(({ run }) => run.id), exact || most, told.map(({ run }) => run.metrics[name].count)]);
  const last = useRef(/** @type {any} */ (undefined));
  const loaded = useLoaded(key, (signal) => Promise.all(
    told.map(({ run }) => points(run.id, name, exact ? undefined : most, signal)),
  ), { skip: !seen || !width });
  if (loaded.value) last.current = loaded.value;
  const shown = loaded.value ?? last.current;

  const curves = useMemo(
    () => shown?.length === told.length
      ? told.map(({ run }, i) => curve(shown[i], over, log, run.started)) : undefined,
    [shown, over, log, told.length],
  );
  return html`<figure class="chart" ref=${seenRef}>
    <figcaption>
      <span class="metric title" title=${plain(name)}>${plain(name)}</span>
      <span class="notes">${notes(shown, counts, curves)}</span>
    </figcaption>
    <div class="plot" ref=${widthRef} style=${{ height: `${height}px` }} role="img" aria-label=${spoken(name, told)}>
      ${curves && width > 0 && html`<${Plot} series=${told} curves=${curves} over=${over} log=${log} width=${width} height=${height}
        onClose=${setClose} />`}
      ${!curves && !loaded.error && html`<span class="wait">…</span>`}
    </div>
    <${Problem} error=${loaded.error} />
  </figure>`;
}

/** What is not to be seen in the picture. @param {any} shown @param {number[]} counts @param {Curve[] | undefined} curves */
function notes(shown, counts, curves) {
  if (!shown || !curves) return "";
  const said = [];
  const n = shown.reduce((/** @type {number} */ sum, /** @type {any} */ p) => sum + p.step.length, 0);
  const m = counts.reduce((sum, count) => sum + count, 0);
  if (n < m) said.push(`${n.toLocaleString("en")} of ${m.toLocaleString("en")} points shown`);
  const odd = curves.reduce((sum, { odd }) => sum + odd.length, 0);
  if (odd) said.push(`${odd.toLocaleString("en")} NaN or inf`);
  const hidden = curves.reduce((sum, { hidden }) => sum + hidden, 0);
  if (hidden) said.push(`${hidden.toLocaleString("en")} at or below 0: not on this scale`);
  return said.join(" · ");
}

function spoken(/** @type {string} */ name, /** @type {Series[]} */ series) {
  const each = series.map(({ run, label }) => `${plain(label)} ${number(run.metrics[name].last)}`);
  return `Curve of ${plain(name)}; last: ${each.join(", ")}`;
}

// --- the picture ----------------------------------------------------------------------------------

/** @param {{series: Series[], curves: Curve[], over: Over, log: boolean, width: number, height: number, onClose: (is: boolean) => void}} props */
function Plot({ series, curves, over, log, width, height, onClose }) {
  const frame = useRef(/** @type {HTMLElement | null} */ (null));
  const readout = useRef(/** @type {HTMLElement | null} */ (null));
  const plot = useRef(/** @type {any} */ (null));
  const latest = useRef({ curves, isClose: false });
  latest.current.curves = curves;
  const shape = JSON.stringify([series.map(({ run }) => run.id), over, log]);

  useEffect(() => {
    let gone = false;
    import("uplot").then(({ default: UPlot }) => {
      if (gone || !frame.current) return;
      const options = /** @type {any} */ (optionsOf(series, over, log, width, height, latest.current, readout, onClose));
      plot.current = new UPlot(options, aligned(UPlot, latest.current.curves), frame.current);
    });
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => plot.current?.redraw(false, true);
    scheme.addEventListener("change", redraw);
    addEventListener("autotrack:theme", redraw);
    return () => {
      gone = true;
      scheme.removeEventListener("change", redraw);
      removeEventListener("autotrack:theme", redraw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);
  useEffect(() => plot.current?.setSize({ width, height }), [width, height]);
  useEffect(() => {
    const drawn = plot.current;
    if (drawn) drawn.setData(aligned(drawn.constructor, curves), !latest.current.isClose);
    if (drawn && latest.current.isClose) drawn.redraw();
  }, [curves]);
  return html`<div ref=${frame}></div><div class="readout" ref=${readout} hidden></div>`;
}

/** One table of all curves, as uPlot wants it. @param {any} UPlot @param {Curve[]} curves */
function aligned(UPlot, curves) {
  const tables = curves.map(({ x, y }) => [x, y]);
  return tables.length === 1 ? tables[0] : UPlot.join(tables, tables.map(() => [0, 2]));
}

/**
 * @param {Series[]} series @param {Over} over @param {boolean} log @param {number} width @param {number} height
 * @param {{curves: Curve[], isClose: boolean}} latest @param {{current: HTMLElement | null}} readout
 * @param {(is: boolean) => void} onClose
 */
function optionsOf(series, over, log, width, height, latest, readout, onClose) {
  const look = (/** @type {boolean} */ is) => {
    latest.isClose = is;
    onClose(is);
  };
  const axis = {
    stroke: () => shade("--dim"), font: `11px ${getComputedStyle(document.body).fontFamily}`,
    grid: { stroke: () => shade("--line"), width: 1 }, ticks: { stroke: () => shade("--line"), width: 1, size: 4 },
  };
  return {
    width, height, legend: { show: false }, padding: [8, 12, 0, 0],
    scales: { x: { time: over === "wall" }, y: log ? { distr: 3 } : { range: withSpace } },
    axes: [
      { ...axis, size: 26, space: 60, ...(over === "wall" ? {} : { values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map((v) => along(v, over)) }) },
      { ...axis, size: 58, space: 28, values: (/** @type {any} */ _, /** @type {(number | null)[]} */ at) => at.map((v) => (v === null ? "" : tick(v))) },
    ],
    cursor: { sync: { key: over, scales: ["x", null] }, points: { size: 6 }, drag: { x: true, y: false } },
    series: [{}, ...series.map(({ look, label }, i) => ({
      label, stroke: look.colour, dash: look.dash, width: 1.5,
      points: { show: latest.curves[i].y.length < 40, size: 4, fill: look.colour, stroke: look.colour },
    }))],
    hooks: {
      draw: [(/** @type {any} */ u) => drawOdd(u, series, latest.curves)],
      setSelect: [(/** @type {any} */ u) => u.select.width > 0 && look(true)],
      setCursor: [(/** @type {any} */ u) => tell(u, series, over, latest.curves, readout.current)],
      ready: [(/** @type {any} */ u) => u.over.addEventListener("dblclick", () => look(false))],
    },
  };
}

/** Room above and below; a flat curve lies in the middle. @param {any} _ @param {number | null} low @param {number | null} high @returns {[number, number]} */
function withSpace(_, low, high) {
  if (low === null || high === null) return [0, 1];
  const space = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - space, high + space];
}

/** NaN as × and infinities as triangles at the edge that they went over. @param {any} u @param {Series[]} series @param {Curve[]} curves */
function drawOdd(u, series, curves) {
  const { left, top, width, height } = u.bbox;
  const pen = u.ctx, r = MARK * devicePixelRatio;
  pen.save();
  curves.forEach(({ odd }, i) => {
    pen.strokeStyle = pen.fillStyle = series[i]?.look.colour;
    pen.lineWidth = 1.5 * devicePixelRatio;
    const taken = new Set();
    for (const { x, value } of odd) {
      const at = Math.round(u.valToPos(x, "x", true));
      const place = `${Math.round(at / r)} ${value}`;
      if (at < left || at > left + width || taken.has(place)) continue;
      taken.add(place);
      pen.beginPath();
      if (Number.isNaN(value)) {
        const y = top + height - r;
        pen.moveTo(at - r, y - r), pen.lineTo(at + r, y + r), pen.moveTo(at - r, y + r), pen.lineTo(at + r, y - r);
        pen.stroke();
      } else {
        const [tip, foot] = value > 0 ? [top, top + 2 * r] : [top + height, top + height - 2 * r];
        pen.moveTo(at, tip), pen.lineTo(at - r, foot), pen.lineTo(at + r, foot);
        pen.fill();
      }
    }
  });
  pen.restore();
}

/** Say what the cursor points at. @param {any} u @param {Series[]} series @param {Over} over @param {Curve[]} curves @param {HTMLElement | null} readout */
function tell(u, series, over, curves, readout) {
  if (!readout) return;
  const index = u.cursor.idx;
  readout.hidden = index === null || index === undefined || u.cursor.left < 0;
  if (readout.hidden) return;
  const x = u.data[0][index];
  const rows = series.map(({ look, label }, i) => {
    const value = u.data[i + 1][index] ?? curves[i].odd.find((point) => point.x === x)?.value;
    if (value === undefined || value === null) return null;
    const row = document.createElement("div");
    const text = number(value, 6);
    row.append(series.length > 1 ? swatch(look) : "", series.length > 1 ? `${plain(label)} ${text}` : text);
    return row;
  });
  const head = document.createElement("div");
  head.className = "dim";
  head.textContent = `${{ step: "step ", time: "after ", wall: "" }[over]}${along(x, over)}`;
  readout.replaceChildren(head, ...rows.filter((row) => row !== null));
  const isLeft = u.cursor.left > u.over.clientWidth / 2;
  readout.style.left = isLeft ? `${u.over.offsetLeft + 4}px` : "auto";
  readout.style.right = isLeft ? "auto" : "14px";
}

function swatch(/** @type {import("./colour.js").Look} */ look) {
  const line = document.createElement("span");
  line.className = "swatch";
  line.style.borderTopColor = look.colour;
  line.style.borderTopStyle = look.dash.length ? "dashed" : "solid";
  return line;
}

function along(/** @type {number} */ x, /** @type {Over} */ over) {
  if (over === "step") return number(x, 9);
  return over === "time" ? duration(x) : clockTime(x * 1e9);
}

const shade = (/** @type {string} */ name) => getComputedStyle(document.body).getPropertyValue(name);
