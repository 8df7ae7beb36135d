// Reads a JSON list of Mermaid diagrams from standard input; prints the list of what the real parser has against each.
import { readFileSync } from "node:fs";
import { JSDOM } from "jsdom";

const { window } = new JSDOM("");
globalThis.window = window;
globalThis.document = window.document;
const { default: mermaid } = await import("mermaid");
const faults = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    const read = await mermaid.parse(text);
    faults.push(read.diagramType.startsWith("state") ? "" : read.diagramType);
  } catch (error) {
    faults.push(String(error.message || error));
  }
}
console.log(JSON.stringify(faults));
