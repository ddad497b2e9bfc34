/* The reliability diagram of a page of `fgbench evaluate`. */

const diagram = JSON.parse(document.getElementById("diagram-data").textContent);
document.getElementById("diagram").replaceChildren(
  reliabilityChart("Reliability diagram", diagram.label, diagram, undefined, { color: "var(--after)", threshold: null }));
