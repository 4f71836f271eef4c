// What a run printed and logged.
import { useEffect, useMemo, useRef } from "preact/hooks";
import { html } from "./html.js";
import { useWindow } from "./parts.js";
import { clockTime, count, plain, printed } from "./text.js";
import { change, view } from "./view.js";

/** @typedef {import("./api.js").LogLine} LogLine */
/** @typedef {{source: LogLine, text: string}} Line */

const ROW = 18; // px, as in page.css
const TALLEST = 400; // px

/** @param {{logs: LogLine[]}} props */
export function Logs({ logs }) {
  const { stream = "" } = view.value;
  const streams = useMemo(() => [...new Set(logs.map((line) => line.stream))].sort(), [logs]);
  const lines = useMemo(
    () => logs.filter((line) => !stream || line.stream === stream).flatMap(split),
    [logs, stream],
  );
  const { ref, first, end } = useWindow(lines.length, ROW);
  useFollowing(ref, lines.length);
  const longest = useMemo(() => Math.max(0, ...lines.slice(0, 100_000).map(({ text }) => text.length)), [lines]);
  return html`
    <div class="choices" role="group" aria-label="Stream">
      ${["", ...streams].map((name) => html`<button key=${name} class="quiet" aria-pressed=${stream === name}
        onClick=${() => change({ stream: name })}>${name ? plain(name) : "all"}</button>`)}
      <span class="dim">${count(lines.length, "line")}</span>
    </div>
    <div class="log" ref=${ref} tabindex="0" role="region" aria-label="Log" style=${{ height: `${Math.min((lines.length + 1) * ROW, TALLEST)}px` }}>
      <div style=${{ height: `${lines.length * ROW}px`, minWidth: `${longest + 30}ch` }}>
        <div style=${{ transform: `translateY(${first * ROW}px)` }}>
          ${lines.slice(first, end).map((line, i) => html`<${Row} key=${first + i} line=${line} />`)}
        </div>
      </div>
    </div>`;
}

/** @param {{line: Line}} props */
function Row({ line: { source, text } }) {
  const from = [source.level, source.logger].filter(Boolean).join(" ");
  const loud = source.stream === "stderr" || /^(WARN|ERR|CRIT)/.test(source.level ?? "");
  return html`<div class="log-line"><span class="dim">${clockTime(source.time)} </span><span class=${loud ? "loud" : "dim"}>${
    plain(from || source.stream).padEnd(8)} </span>${text}</div>`;
}

/** A record of logging may have several lines. @param {LogLine} source @returns {Line[]} */
const split = (source) => printed(source.text).split("\n").map((text) => ({ source, text }));

/** Who has scrolled to the end stays there. @param {{current: HTMLElement | null}} ref @param {number} n */
function useFollowing(ref, n) {
  const atEnd = useRef(true);
  useEffect(() => {
    const frame = ref.current;
    if (!frame) return;
    const look = () => (atEnd.current = frame.scrollTop + frame.clientHeight >= frame.scrollHeight - ROW);
    frame.addEventListener("scroll", look, { passive: true });
    return () => frame.removeEventListener("scroll", look);
  }, []);
  useEffect(() => {
    if (ref.current && atEnd.current) ref.current.scrollTop = ref.current.scrollHeight;
  }, [n]);
}
