// Elements from templates. What a template is given becomes text: nothing here ever makes HTML of it.
import { h } from "preact";
import htm from "htm";

export const html = htm.bind(h);
