// The table of docs/clients.md, "Everyone else's clients": what it says, and how a run would write it.

import { readFileSync } from "node:fs";

const DOCUMENT = new URL("../../docs/clients.md", import.meta.url);
const HEADING = "## Everyone else's clients";

/** The columns after the client's name, by what the driver calls them. */
const COLUMNS = ["version", "promise", "cut", "end", "absence", "badGateway", "wait", "limit", "resumes", "torn", "retry", "types", "data", "large"];
/** What a loop around a client does as well as the client. */
const BY_HAND = new Set(["cut", "end", "absence", "badGateway", "wait", "limit", "resumes", "retry"]);

/** What the document says: by client, the cells by column. */
export function documented() {
  const section = readFileSync(DOCUMENT, "utf8").split(`${HEADING}\n`)[1]?.split("\n## ")[0] ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("| ")).slice(1);
  return new Map(rows.map((row) => {
    const [name, ...cells] = row.split("|").slice(1, -1).map((cell) => cell.trim());
    return [name, Object.fromEntries(COLUMNS.map((column, at) => [column, cells[at]]))];
  }));
}

/** What a run found, as the document has it. */
export function written(client, found) {
  const cell = (column) => {
    const value = found[column];
    if (value === undefined) return "—";
    if (typeof value === "string") return value;
    if (!value) return "no";
    return client.byHand && BY_HAND.has(column) ? "by hand" : "yes";
  };
  return Object.fromEntries(COLUMNS.map((column) => [column, cell(column)]));
}

export const row = (name, cells) => `| ${[name, ...COLUMNS.map((column) => cells[column])].join(" | ")} |`;
