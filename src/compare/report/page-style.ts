/**
 * The page's style sheet. The colours of the table sources keep their distance under the common kinds of colour
 * blindness (after Okabe and Ito) and have at least 3:1 against the paper that they are drawn on.
 */
const LIGHT = `--paper: #fff; --ink: #1b1f24; --faint: #57606a; --line: #d8dee4;
  --heap: #6e7781; --freelist: #0072b2; --grow: #b87400; --slot: #008260; --per-node: #a8477f;`;

const DARK = `--paper: #14181d; --ink: #e6edf3; --faint: #9aa5b1; --line: #343c45;
  --heap: #9aa5b1; --freelist: #56b4e9; --grow: #e69f00; --slot: #2fc79b; --per-node: #e08fbf;`;

export const PAGE_STYLE = `
:root { color-scheme: light dark; ${LIGHT} }
@media screen and (prefers-color-scheme: dark) { :root { ${DARK} } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0.6rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 0.4rem; }
.aside { color: var(--faint); }
figure { margin: 1rem 0 1.6rem; }
figcaption { font-weight: 600; }
figure svg { display: block; max-width: 100%; height: auto; overflow: visible; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: 0.2rem 0.5rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { border-bottom: 1px solid var(--ink); vertical-align: bottom; white-space: normal; }
tbody td { border-bottom: 1px solid var(--line); }
th.group { padding-top: 0.9rem; border-bottom: 1px solid var(--line); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.15rem 1.2rem; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
@media print {
  :root { color-scheme: light; }
  @page { margin: 14mm; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  table { font-size: 7.5pt; }
  th, td { padding: 0.1rem 0.3rem; }
  .scroll { overflow: visible; }
  h2, h3, figcaption, th.group { break-after: avoid; }
  figure, tr { break-inside: avoid; }
}
`;
