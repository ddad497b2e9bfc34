"""The store against hostile keys and manifests, killed processes and other users."""

import json
import os
import shutil
import stat
import subprocess
import sys
import textwrap
import time

import pytest

from fgbench.digests import digest
from fgbench.errors import PluginError, StoreError
from fgbench.llm.answers import AnswerStore
from fgbench.llm.chat import ChatAnswer, ChatRequest, Message, Sampling
from fgbench.llm.files import export_answers
from fgbench.llm.keys import RequestHasher
from fgbench.runs.keys import keys_of_run
from fgbench.store import Product, Store
from fgbench.store.checking import check
from fgbench.store.pruning import artifacts, prune

KEY, OTHER = "ab" * 32, "cd" * 32


def put(store, key=KEY, files=None):
    files = {"a.bin": b"abc", "model/b.bin": b"b"} if files is None else files
    return store.put(key, Product({"x": 1.5}, files), stage="s", seconds=1)


def edit_manifest(store, change, key=KEY):
    path = store.folder(key) / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


NOT_KEYS = [
    f"{KEY}/../../../../victim",
    "../../victim",
    "/victim",
    "",
    ".",
    "a" * 63,
    "a" * 65,
    KEY.upper(),
    f"{KEY}\n",
    f"{KEY[:-1]}/",
    f"{KEY[:-1]}\0",
    "٣" * 64,
    "x" * 100_000,
    None,
    7,
    KEY.encode(),
]


@pytest.mark.parametrize("key", NOT_KEYS, ids=lambda key: repr(key)[:20])
def test_every_door_refuses_what_is_no_key(tmp_path, key):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_text("precious")
    store = Store(tmp_path / "store")
    put(store)
    before = sorted(path for path in tmp_path.rglob("*"))
    doors = (
        store.find,
        store.folder,
        lambda key: store.put(key, Product(1), stage="s", seconds=0),
        lambda key: store.lock(key).__enter__(),
    )
    for door in doors:
        with pytest.raises(StoreError, match="is not the key of an artifact") as caught:
            door(key)
        assert len(str(caught.value)) < 200
        assert "\n" not in str(caught.value)
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "name", ["../victim", "/victim", "a/../../victim", "a/b/c", "a//b", "./a", "a/", "", "a\\b",
             "a\0b", "manifest.json"],
)  # fmt: skip
def test_file_names_stay_in_the_artifact(tmp_path, name):
    (tmp_path / "victim").write_text("abc")
    store = Store(tmp_path / "store")
    with pytest.raises(PluginError, match="cannot be the name of a file"):
        put(store, OTHER, {name: b"abc"})
    put(store)

    def rename(manifest):
        manifest["files"] = {name: manifest["files"]["a.bin"]}

    edit_manifest(store, rename)
    assert store.find(KEY) is None
    assert store.corrupt == [KEY]
    assert (tmp_path / "victim").read_text() == "abc"


@pytest.mark.parametrize("place", ["a.bin", "model/b.bin", "model", "manifest.json", ""])
def test_links_out_of_an_artifact_are_not_followed(tmp_path, place):
    """Their targets are left alone, too, when the artifact is removed."""
    store = Store(tmp_path / "store")
    put(store)
    inside = store.folder(KEY) / place
    outside = tmp_path / "outside"
    inside.rename(outside)
    inside.symlink_to(outside)
    before = sorted(path for path in outside.rglob("*")) or outside.read_bytes()
    assert [bool(item.problems) for item in check(store)] == [True]
    assert store.find(KEY) is None
    assert store.corrupt == [KEY]
    assert (sorted(path for path in outside.rglob("*")) or outside.read_bytes()) == before
    assert list((tmp_path / "store/building").iterdir()) == []
    assert put(store).open("model/b.bin").read_bytes() == b"b"


def test_dangling_link_in_place_of_an_artifact_is_replaced(tmp_path):
    store = Store(tmp_path)
    (tmp_path / "objects" / KEY[:2]).mkdir()
    store.folder(KEY).symlink_to(tmp_path / "nowhere")
    assert [bool(item.problems) for item in check(store)] == [True]
    put(store)
    assert store.find(KEY).open("a.bin").read_bytes() == b"abc"
    assert not (tmp_path / "nowhere").exists()


def test_link_placed_after_the_lookup_is_not_opened(tmp_path):
    store = Store(tmp_path / "store")
    put(store)
    artifact = Store(tmp_path / "store").find(KEY)
    path = store.folder(KEY) / "a.bin"
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    with pytest.raises(StoreError, match="is corrupt and was removed"):
        artifact.open("a.bin")


def test_fifo_in_an_artifact_does_not_block(tmp_path):
    store = Store(tmp_path)
    for name in ("a.bin", "manifest.json"):
        put(store)
        (store.folder(KEY) / name).unlink()
        os.mkfifo(store.folder(KEY) / name)
        assert [bool(item.problems) for item in check(store)] == [True]
        assert store.find(KEY) is None


@pytest.mark.parametrize(
    "content",
    [
        '{"value": NaN, %s',
        '{"value": ' + "[" * 900 + "]" * 900 + ", %s",
        '{"value": 1, "seconds": 1' + "0" * 400 + ", %s",
    ],
    ids=["nan", "deep", "huge"],
)
def test_value_that_was_never_stored_is_corrupt(tmp_path, content):
    rest = f'"schema": "fgbench.artifact/1", "key": "{KEY}", "stage": "s", "files": {{}}'
    rest += ', "digest": "x"' + ("" if "seconds" in content else ', "seconds": 1') + "}"
    store = Store(tmp_path)
    put(store, files={})
    (store.folder(KEY) / "manifest.json").write_text(content.replace("%s", rest))
    artifact = store.find(KEY)
    if artifact is not None:
        with pytest.raises(StoreError, match="is corrupt and was removed"):
            artifact.value  # noqa: B018 - reading verifies it
    assert store.find(KEY) is None
    assert store.corrupt == [KEY]


def test_files_of_a_product_must_be_regular(tmp_path):
    store = Store(tmp_path / "store")
    (tmp_path / "target").write_text("precious")
    with store.scratch() as scratch:
        (scratch / "link").symlink_to(tmp_path / "target")
        (scratch / "folder").mkdir()
        for name in ("link", "folder", "missing"):
            with pytest.raises(PluginError, match="not a regular file"):
                put(store, files={"a": scratch / name})
    assert (tmp_path / "target").read_text() == "precious"


def test_missing_folder_of_an_artifact_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="has no folder 'weights'"):
        put(Store(tmp_path)).open_folder("weights")


def test_stray_folders_are_neither_listed_nor_pruned(tmp_path):
    store = Store(tmp_path)
    put(store)
    for stray in ("ab/notes", f"cd/{KEY}", f"ab/{'AB' * 32}"):
        shutil.copytree(store.folder(KEY), store.objects / stray)
    assert [item.key for item in artifacts(store)] == [KEY]
    assert [item.key for item in prune(store, max_bytes=0).removed] == [KEY]
    assert (store.objects / "ab/notes").is_dir()


def test_keys_in_a_log_are_checked(tmp_path):
    lines = [
        {"event": "stage_finished", "key": KEY},
        {"event": "stage_finished", "key": "../../victim"},
        {"event": "stage_finished", "key": [KEY]},
        {"event": "run_started", "datasets": [OTHER, {}, "x", None]},
        {"event": "run_started", "datasets": "abc"},
        {"event": "run_started", "datasets": 7},
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert keys_of_run(tmp_path) == {KEY, OTHER}


HOLDER = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from fgbench.store import Store
    store = Store(Path(sys.argv[1]))
    with store.lease("run"), store.lock("ab" * 32), store.scratch() as scratch:
        (scratch / "sub").mkdir()
        (scratch / "sub/half.bin").write_bytes(b"half")
        print(scratch, flush=True)
        time.sleep(60)
    """
)


@pytest.fixture
def holder(tmp_path):
    """Return a process that holds a lease, a lock and a scratch folder of a store."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    process.scratch = process.stdout.readline().strip()
    yield process
    process.kill()
    process.communicate()


def test_scratch_of_a_living_process_is_kept_however_old_it_is(tmp_path, holder):
    past = time.time() - 400 * 86_400
    for folder, _, files in os.walk(holder.scratch):
        for path in (folder, *(os.path.join(folder, name) for name in files)):  # noqa: PTH118
            os.utime(path, (past, past))
    store = Store(tmp_path)
    assert store.remove_leftovers() == 0
    assert prune(store, max_bytes=0).removed == ()
    assert os.path.exists(f"{holder.scratch}/sub/half.bin")  # noqa: PTH110
    assert store.oldest_lease() is not None


def test_leftovers_of_a_killed_process_are_removed_by_the_next(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert os.path.exists(holder.scratch)  # noqa: PTH110
    (tmp_path / ".answers.fgbench-0.tmp").write_text("half")
    Store(tmp_path)
    assert not (tmp_path / ".answers.fgbench-0.tmp").exists()
    for folder in ("building", "locks", "leases"):
        assert list((tmp_path / folder).iterdir()) == []


def test_prune_removes_leftovers_of_processes_killed_since_the_store_was_opened(tmp_path, holder):
    store = Store(tmp_path)
    holder.kill()
    holder.wait()
    prune(store, max_bytes=0, dry_run=True)
    assert os.path.exists(holder.scratch)  # noqa: PTH110
    prune(store, max_bytes=0)
    assert list((tmp_path / "building").iterdir()) == []


def test_folder_of_an_earlier_version_is_kept(tmp_path):
    """An earlier version did not lock its folders, and may be running."""
    folder = Store(tmp_path).root / "building/scratch-1"
    folder.mkdir()
    os.utime(folder, (0, 0))
    Store(tmp_path)
    assert folder.is_dir()


def modes(root):
    """Return the modes of all folders and all files below a folder, itself included."""
    paths = [root, *root.rglob("*")]
    folders = {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()}
    return folders, {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_store_answers_and_exports_are_private(tmp_path, umask):
    before = os.umask(umask)
    try:
        store = Store(tmp_path / "store")
        with store.scratch() as scratch:
            (scratch / "weights.bin").write_bytes(b"w")
            put(store, files={"a": b"a", "model/weights.bin": scratch / "weights.bin"})
        answers = AnswerStore(store.root / "answers.sqlite")
        answers.put(bytes.fromhex(digest({"model": {}})), "{}", "{}", ChatAnswer(text="secret"))
        with store.lease("run"), store.lock(OTHER), store.scratch():
            assert {path.name for path in store.root.glob("answers*")} == {
                "answers.sqlite", "answers.sqlite-wal", "answers.sqlite-shm",
            }  # fmt: skip
            assert modes(store.root) == ({0o700}, {0o600})
        export_answers(answers, tmp_path / "answers.jsonl")
        answers.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "answers.jsonl").stat().st_mode) == 0o600


def damage_flip(folder):
    """Change one bit and nothing else: size and time are those that were verified."""
    path = folder / "model/b.bin"
    status = path.stat()
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def damage_value(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("1.5", "2.5"))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (damage_flip, "model/b.bin: does not match its digest"),
        (damage_value, "manifest.json: does not match its digest"),
        (lambda folder: (folder / "a.bin").write_bytes(b"ab"), "a.bin: 2 bytes instead of 3"),
        (lambda folder: (folder / "a.bin").unlink(), "a.bin: missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json: missing"),
        (lambda folder: (folder / "manifest.json").write_text("["), "manifest.json: Expecting"),
        (lambda folder: (folder / "manifest.json").write_text("[" * 10**5), "nested too deeply"),
    ],
)
def test_check_reads_everything_and_changes_nothing(tmp_path, damage, problem):
    store = Store(tmp_path)
    put(store)
    put(store, OTHER)
    assert all(not item.problems for item in check(store))
    damage(store.folder(KEY))
    intact = {item.folder.name: item.problems for item in check(store)}
    assert intact[OTHER] == ()
    (found,) = intact[KEY]
    assert problem in found
    assert store.folder(KEY).is_dir()
    assert store.corrupt == []


def test_check_of_answers_reports_each_damaged_row(tmp_path):
    hasher = RequestHasher({"model": "m"})
    answers = AnswerStore(tmp_path / "answers.sqlite")
    for number in range(4):
        request = ChatRequest(messages=(Message("user", f"{number}"),), sampling=Sampling())
        key, text = hasher.key_and_text(request)
        answers.put(key, hasher.model, text, ChatAnswer(text="a"))
    assert list(answers.check()) == []
    with answers.writing() as connection:
        connection.execute("UPDATE answers SET key = zeroblob(32) WHERE id = 2")
        connection.execute("UPDATE answers SET notes = '[' WHERE id = 4")
    assert len(list(answers.check())) == 2
    answers.close()


def test_check_counts_every_byte(tmp_path):
    store = Store(tmp_path)
    put(store)
    (item,) = check(store)
    files = [path for path in store.folder(KEY).rglob("*") if path.is_file()]
    assert item.size == sum(path.stat().st_size for path in files)
