"""What the test server answers: replies that depend only on the hash of the request."""

import hashlib
import json
import random
import re

_TALK = (
    "the printer stopped after lunch while my new laptop still shows a grey screen and nobody in "
    "support could tell when a spare part arrives but thanks for your patience with this odd case"
)
WORDS = _TALK.split()


def content_key(body):
    """Return the digest of a request's model, messages and seed, without its `n`."""
    value = [body.get("model"), body.get("messages"), body.get("seed")]
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def reply_text(body, choice):
    """Return an answer derived from the hash of the request: a label, or a numbered list."""
    messages = body["messages"]
    rng = random.Random(f"{json.dumps(messages)}|{body.get('seed')}|{choice}")
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    if schema is not None:
        return json.dumps(_instance(schema, schema, rng))
    names = offered_labels(messages)
    if names:
        return rng.choice(names)
    reply = requested_reply(messages, rng)
    if reply is not None:
        return reply
    return "\n".join(f'{number}. "{_sentence(rng)}"' for number in range(1, 4))


def offered_labels(messages):
    """Return the labels that a prompt offers; none if it asks for texts."""
    last = messages[-1]["content"]
    asked = re.search(r"Answer with the (name|number|letter) of the class.*", last)
    if asked is None:
        return []
    if asked[1] != "name":
        return re.findall(r"(\w+) for ", asked[0])
    named = re.findall(r'"((?:[^"\\]|\\.)+)"', asked[0])
    if not named and ":" in asked[0]:
        named = re.split(r", | or ", asked[0].partition(": ")[2].rstrip("."))
    # With many classes, the names are only in the system message, one per line.
    return named or re.findall(r"^(?:-|\w+\.) ([^:\n]+)", messages[0]["content"], re.MULTILINE)


def requested_reply(messages, rng):
    """Return an answer in the format that a prompt describes in words; None for lists."""
    last = messages[-1]["content"]
    if "Answer with a number from 0 to 100 and nothing else" in last:
        return str(rng.randint(0, 100))
    names = re.findall(r"^(?:-|\w+\.) ([^:\n]+)", messages[0]["content"], re.MULTILINE)
    sure = rng.randint(50, 100)
    if "Answer with JSON only" in last:
        if '"texts"' in last:
            return json.dumps({"texts": [_sentence(rng) for _ in range(3)]})
        return json.dumps({"label": rng.choice(names), "confidence": sure})
    if "Answer with two lines" in last:
        return f"class: {rng.choice(names)}\nconfidence: {sure}"
    if "name of the class alone on the first line" in last:
        return f"{rng.choice(names)}\nI would be surprised if this were wrong."
    return None


def _sentence(rng):
    return " ".join(rng.choices(WORDS, k=rng.randint(5, 12))).capitalize() + "."


def _instance(schema, root, rng):
    """Return a value that a JSON Schema allows, as far as tests need it."""
    if "$ref" in schema:
        node = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        return _instance(node, root, rng)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "anyOf" in schema:
        return _instance(schema["anyOf"][0], root, rng)
    kind = schema.get("type", "string")
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _instance(value, root, rng) for name, value in properties.items()}
    if kind == "array":
        length = schema.get("minItems", min(3, schema.get("maxItems", 3)))
        return [_instance(schema.get("items", {}), root, rng) for _ in range(length)]
    if kind in ("number", "integer"):
        low, high = schema.get("minimum", 0), schema.get("maximum", 100)
        return rng.randint(int(low), int(high)) if kind == "integer" else rng.uniform(low, high)
    if kind == "boolean":
        return rng.random() < 0.5
    return _sentence(rng)


def token_choice(token, others, rng):
    top = [token, *others][: max(1, len(others))]
    values = [-rng.uniform(0.05, 0.3), *(-rng.uniform(2, 6) for _ in others)]
    listed = [
        {"token": name, "logprob": value, "bytes": None}
        for name, value in zip(top, values, strict=False)
    ]
    return {"token": token, "logprob": values[0], "bytes": None, "top_logprobs": listed}
