// Small pieces that several views have.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { html } from "./html.js";
import { clock, connection } from "./live.js";
import { SIGNS, ago, moment, plain } from "./text.js";

/** A run's state by sign, colour and word. @param {{state: import("./api.js").State}} props */
export function StateMark({ state }) {
  return html`<span class="state ${state}"><span class="sign" aria-hidden="true">${SIGNS[state]}</span> ${state}</span>`;
}

/** What went wrong, in words; with `retry` a button. @param {{error?: Error, retry?: () => void}} props */
export function Problem({ error, retry }) {
  if (!error) return null;
  return html`<p class="problem" role="alert">
    <span class="sign" aria-hidden="true">✗</span> ${plain(error.message)}
    ${retry && html` <button onClick=${retry}>try again</button>`}
  </p>`;
}

/** A moment as the time since, exact when pointed at. @param {{ns: number}} props */
export function Ago({ ns }) {
  return html`<time datetime=${new Date(ns / 1e6).toISOString()} title=${moment(ns)}>${ago(ns, clock.value)}</time>`;
}

/** Whether what is shown follows the store. */
export function Connection() {
  const words = { connecting: "connecting", live: "live", "cut off": "the server does not answer; trying again" };
  const is = connection.value;
  return html`<span class="connection ${is === "cut off" ? "cut-off" : is}" role="status">
    <span class="sign" aria-hidden="true">${is === "live" ? "●" : "○"}</span> ${words[is]}
  </span>`;
}

/** An element's width in px, as it changes; 0 before it is drawn. @returns {[import("preact").RefObject<any>, number]} */
export function useWidth() {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

/** Whether an element has been on the screen yet. @returns {[import("preact").RefObject<any>, boolean]} */
export function useSeen() {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    if (!ref.current) return;
    const observer = new IntersectionObserver(
      (entries) => entries.some((entry) => entry.isIntersecting) && setSeen(true),
      { rootMargin: "300px" },
    );
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return [ref, seen];
}

/**
 * Which of `count` rows of `height` px a scrolled element shows, with some around.
 * @param {number} count @param {number} height
 */
export function useWindow(count, height) {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  const [{ top, room }, setPlace] = useState({ top: 0, room: 0 });
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const look = () => setPlace({ top: element.scrollTop, room: element.clientHeight });
    look();
    element.addEventListener("scroll", look, { passive: true });
    const observer = new ResizeObserver(look);
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", look);
      observer.disconnect();
    };
  }, []);
  const first = Math.max(0, Math.min(Math.floor(top / height), count) - AROUND);
  const end = Math.min(count, Math.ceil((top + (room || FIRST_ROOM)) / height) + AROUND);
  return { ref, first, end };
}

const AROUND = 12;
const FIRST_ROOM = 900; // px, until the height is known

/** Scroll so that a row can be seen. @param {HTMLElement | null} frame @param {number} index @param {number} height px of a row */
export function reveal(frame, index, height) {
  if (!frame) return;
  const head = frame.querySelector("thead")?.clientHeight ?? 0;
  const top = index * height, room = frame.clientHeight - head;
  if (top < frame.scrollTop) frame.scrollTop = top;
  else if (top + height > frame.scrollTop + room) frame.scrollTop = top + height - room;
}

/** Call `act` with each key that is pressed outside of fields. @param {(key: string, event: KeyboardEvent) => void} act */
export function useKeys(act) {
  const latest = useRef(act);
  latest.current = act;
  useLayoutEffect(() => { // once something is seen, its keys work: not a frame later
    const press = (/** @type {KeyboardEvent} */ event) => {
      const target = /** @type {HTMLElement} */ (event.target);
      const types = target.matches?.("input:not([type=checkbox]), textarea, select");
      if (types || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      latest.current(event.key, event);
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}
