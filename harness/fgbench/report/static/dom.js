/* Elements, and numbers as text. Values of the board are set as text, never as markup. */

/** Create an element. Function attributes are event listeners; null attributes are omitted. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null));
  return element;
}

const number = (value) => (value === null ? NOTHING : value.toFixed(3));

/** A difference with its sign; one that rounds to zero has none. */
function signed(value) {
  const text = Math.abs(value).toFixed(3);
  if (Number(text) === 0) return text;
  return (value < 0 ? "−" : "+") + text;
}

/** An interval without leading zeros, to save width in tables. */
const interval = (low, high, format = number) =>
  `[${format(low)}, ${format(high)}]`.replaceAll(/(?<=[[ −+])0\./g, ".");

/** A count in full, or a measured quantity to four significant digits. */
const count = (value) => value.toLocaleString("en-US", Number.isInteger(value) ? {} : { maximumSignificantDigits: 4 });

const VERDICTS = { better: "✓", worse: "✗", "not separable": "≈", "": "" };
