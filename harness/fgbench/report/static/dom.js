/* Elements, and counts as text. Values of the board are set as text, never as markup. All other
   numbers come as text with the board: only one function formats them, in Python. */

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

/** A count in full, or a measured quantity to four significant digits. */
const count = (value) => value.toLocaleString("en-US", Number.isInteger(value) ? {} : { maximumSignificantDigits: 4 });
