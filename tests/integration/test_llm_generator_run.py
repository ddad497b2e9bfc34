"""A whole run with a generator by language model, which answers by a script."""

import json
import re

import fgbench

PLUGIN = '''
"""A generator whose model answers by a script."""

import re

from fgbench import ChatAnswer, ChatModel, Usage, hookimpl, seed_for
from fgbench_plugins.generators.llm_generator import LanguageModelGenerator


class Model(ChatModel):
    identity = {"engine": "script"}

    def answer(self, requests, spending, deliver):
        for request in requests:
            user = request.messages[-1].content
            if "Which class" in user:
                text = str(seed_for(user) % 2 + 1)
            else:
                words = [seed_for(user, request.draw, at) for at in range(3)]
                lines = [f'{at + 1}. "my printer says {words[at]}" (60%)' for at in range(3)]
                text = "Sure!\\n" + "\\n".join(lines[: 1 + words[0] % 3])
            deliver(request, ChatAnswer(text=text, usage=Usage(1, 50, 20)))


class Script(LanguageModelGenerator):
    """Answers by a script."""

    def chat_model(self):
        return Model()


@hookimpl
def fgbench_generators(register):
    register("script", "scripted_model:Script", "Answers by a script")
'''


def test_llm_generator_runs_whole_loop(tmp_path):
    plugin = tmp_path / "scripted_model.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    run = fgbench.run(
        datasets=["known-posterior:train=200,validation=200,test=100"],
        classifiers=["tfidf-logreg"],
        generators=["script"],
        arms=["baseline", "synthesis+"],
        seeds=[0],
        replicates=20,
        plugins=[str(plugin)],
        out=tmp_path / "runs",
    )
    assert run.failures == ()
    entries = {entry.arm: entry for entry in run.leaderboard.entries}
    assert set(entries) == {"baseline", "synthesis+"}
    lines = [
        json.loads(line)
        for path in run.folder.rglob("*.jsonl")
        if path.name != "events.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    samples = [line for line in lines if "messages" in line]
    assert samples
    assert {item["verdict"] for item in samples} >= {"accepted", "rejected"}
    for item in samples:
        assert [message["role"] for message in item["messages"]] == ["system", "user"]
        assert (
            json.dumps(item["source"]["input"], ensure_ascii=False)
            in item["messages"][1]["content"]
        )
        assert item["raw"].startswith("Sure!")
        assert re.fullmatch(r"my printer says \d+", item["input"])
