// Reads a JSON list of Mermaid diagrams from standard input; prints the list of what the real parser has against each.
// The folder of node modules is the argument.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { readFileSync } from "node:fs";

const require = createRequire(pathToFileURL(process.argv[2] + "/"));
const { JSDOM } = require(process.argv[2] + "/jsdom");
const { window } = new JSDOM("");
globalThis.window = window;
globalThis.document = window.document;
const { default: mermaid } = await import(pathToFileURL(process.argv[2] + "/mermaid/dist/mermaid.core.mjs"));
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
