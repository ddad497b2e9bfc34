"""The store: artifacts are complete or absent, verified and shared."""

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from fgbench.errors import CorruptArtifactError, StoreError
from fgbench.store import Product, Store, artifacts
from fgbench.store.atomic import write_atomically
from fgbench.store.pruning import artifacts as artifacts_in
from fgbench.store.pruning import prune

KEY = "ab" * 32


def put(store, value=None, files=None, key=KEY):
    return store.put(
        key, Product(value or {"x": 1.5}, files or {"a.bin": b"abc"}), stage="s", seconds=1
    )


def content(artifact):
    return artifact.value, {name: artifact.open(name).read_bytes() for name in artifact.files}


def test_artifact_round_trips(tmp_path):
    store = Store(tmp_path)
    assert store.find(KEY) is None
    stored = put(store)
    artifact = store.find(KEY)
    assert content(artifact) == content(stored) == ({"x": 1.5}, {"a.bin": b"abc"})
    assert (artifact.digest, artifact.seconds) == (stored.digest, stored.seconds)
    with pytest.raises(StoreError, match=r"no file 'b\.bin'"):
        artifact.open("b.bin")


@pytest.fixture
def hashed(monkeypatch):
    """Return the names of the files that are hashed, in order."""
    names = []
    digest_file = artifacts.digest_file

    def recorded(path):
        names.append(path.name)
        return digest_file(path)

    monkeypatch.setattr(artifacts, "digest_file", recorded)
    return names


def test_find_hashes_nothing_and_open_hashes_each_file_once(tmp_path, hashed):
    put(Store(tmp_path), files={"a.bin": b"abc", "model/b.bin": b"b", "model/c.bin": b"c"})
    store = Store(tmp_path)
    for _ in range(3):
        artifact = store.find(KEY)
    assert hashed == []
    for _ in range(3):
        store.find(KEY).open("a.bin")
        artifact.open_folder("model")
    assert sorted(hashed) == ["a.bin", "b.bin", "c.bin"]


def test_file_that_changes_after_it_was_verified_is_verified_again(tmp_path):
    store = Store(tmp_path)
    put(store)
    path = store.find(KEY).open("a.bin")
    path.write_bytes(b"abd")
    os.utime(path, ns=(1, 1))
    with pytest.raises(CorruptArtifactError, match="was removed; rerun to rebuild it"):
        store.find(KEY).open("a.bin")
    assert store.corrupt == [KEY]
    assert store.find(KEY) is None


def test_digest_depends_only_on_content(tmp_path):
    store = Store(tmp_path)
    first = put(store)
    second = store.put("cd" * 32, Product({"x": 1.5}, {"a.bin": b"abc"}), stage="t", seconds=9)
    other = store.put("ef" * 32, Product({"x": 1.5}, {"a.bin": b"abd"}), stage="s", seconds=1)
    assert first.digest == second.digest != other.digest


def damage_truncate(folder):
    (folder / "a.bin").write_bytes(b"ab")


def damage_flip(folder):
    (folder / "a.bin").write_bytes(b"abd")


def damage_remove(folder):
    (folder / "a.bin").unlink()


def damage_value(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["value"]["x"] = 2.5
    (folder / "manifest.json").write_text(json.dumps(manifest))


def damage_manifest(folder):
    (folder / "manifest.json").write_text('{"schema": ')


def damage_no_manifest(folder):
    (folder / "manifest.json").unlink()


def damage_seconds(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["seconds"]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def damage_kind(folder):
    (folder / "manifest.json").write_text("[]")


def damage_garbage(folder):
    (folder / "manifest.json").write_bytes(os.urandom(100))


@pytest.mark.parametrize(
    "damage",
    [
        damage_truncate,
        damage_flip,
        damage_remove,
        damage_value,
        damage_manifest,
        damage_no_manifest,
        damage_garbage,
        damage_seconds,
        damage_kind,
    ],
)
def test_corrupt_artifact_is_reported_and_rebuilt(tmp_path, damage):
    writer = Store(tmp_path)
    put(writer)
    damage(writer.folder(KEY))
    store = Store(tmp_path)
    artifact = store.find(KEY)
    if artifact is not None:
        with pytest.raises(CorruptArtifactError) as caught:
            content(artifact)
        assert caught.value.key == KEY
    assert store.corrupt == [KEY]
    assert store.find(KEY) is None
    put(store)
    assert content(store.find(KEY)) == ({"x": 1.5}, {"a.bin": b"abc"})


def test_artifact_appearing_during_lookup_is_kept(tmp_path, monkeypatch):
    """Another process may rename its folder into place between any two of our system calls."""
    other = Store(tmp_path / "other")
    put(other)
    whole = other.folder(KEY)
    store, final = Store(tmp_path / "store"), tmp_path / "store" / "objects" / KEY[:2] / KEY
    for call in ("exists", "read_bytes"):
        real = getattr(Path, call)

        def then_appears(self, *arguments, real=real, **options):
            try:
                return real(self, *arguments, **options)
            finally:
                if not os.path.exists(final):  # noqa: PTH110 - Path.exists is patched
                    shutil.copytree(whole, final)

        with monkeypatch.context() as patched:
            patched.setattr(Path, call, then_appears)
            store.find(KEY)
        assert store.corrupt == []
        shutil.rmtree(final, ignore_errors=True)


def test_unreadable_artifact_is_not_treated_as_corrupt(tmp_path, monkeypatch):
    store = Store(tmp_path)
    put(store)

    def refused(self, *arguments, **options):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    for call in ("read_bytes", "stat"):
        with monkeypatch.context() as patched:
            patched.setattr(Path, call, refused)
            with pytest.raises(StoreError, match=r"cannot be read: Too many open files"):
                store.find(KEY)
    assert store.corrupt == []
    assert store.find(KEY) is not None


def test_first_of_two_equal_artifacts_is_kept(tmp_path):
    first = put(Store(tmp_path))
    second = put(Store(tmp_path))
    assert content(second) == content(first)
    assert list((tmp_path / "building").iterdir()) == []


def test_non_json_value_is_refused_and_leaves_nothing(tmp_path):
    store = Store(tmp_path)
    with pytest.raises((TypeError, ValueError)):
        store.put(KEY, Product({"x": float("nan")}), stage="s", seconds=0)
    assert store.find(KEY) is None
    assert list((tmp_path / "building").iterdir()) == []


def test_unwritable_store_is_one_error(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(blocker / "store")
    with pytest.raises(StoreError, match="cannot be written"):
        write_atomically(blocker / "x" / "y", b"")


def test_full_disk_keeps_stored_artifacts(tmp_path):
    """The kernel refuses to let a file grow, as a full disk would, in the middle of an artifact."""
    script = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from fgbench.errors import StoreError
        from fgbench.store import Product, Store
        store = Store(Path(sys.argv[1]))
        store.put("ab" * 32, Product({"n": 1}), stage="s", seconds=0)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            product = Product(None, {"a": b"x" * 1000, "b": b"x" * 9000})
            store.put("cd" * 32, product, stage="s", seconds=0)
        except StoreError as error:
            print(error)
        """
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "cannot be written" in answer.stdout
    assert "ulimit -f" in answer.stdout
    store = Store(tmp_path)
    assert store.find(KEY).value == {"n": 1}
    assert store.find("cd" * 32) is None
    assert list((tmp_path / "building").iterdir()) == []


def test_concurrent_processes_agree_on_one_artifact(tmp_path):
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from fgbench.store import Product, Store
        store = Store(Path(sys.argv[1]))
        for number in range(40):
            key = f"{number:064x}"
            with store.lock(key):
                if store.find(key) is None:
                    product = Product({"n": number}, {"f": b"x" * number})
                    store.put(key, product, stage="s", seconds=0)
                    print(number)
        """
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    built = [int(line) for worker in workers for line in worker.communicate()[0].split()]
    assert all(worker.returncode == 0 for worker in workers)
    assert sorted(built) == list(range(40)), "each was built exactly once"
    store = Store(tmp_path)
    assert [store.find(f"{n:064x}").value["n"] for n in range(40)] == list(range(40))
    assert store.corrupt == []


def test_replaced_corrupt_artifact_is_not_discarded(tmp_path, monkeypatch):
    """Another process rebuilds it between the discovery of the damage and the removal."""
    put(Store(tmp_path))
    store = Store(tmp_path)
    damage_flip(store.folder(KEY))
    remove = Store._remove

    def rebuild_first(self, key, folder):
        monkeypatch.setattr(Store, "_remove", remove)
        shutil.rmtree(folder)
        put(Store(tmp_path))
        remove(self, key, folder)

    monkeypatch.setattr(Store, "_remove", rebuild_first)
    with pytest.raises(CorruptArtifactError):
        store.find(KEY).open("a.bin")
    assert store.corrupt == []
    assert content(store.find(KEY)) == ({"x": 1.5}, {"a.bin": b"abc"})


def age(store, key, days):
    """Let an artifact appear unused for some days."""
    manifest = store.folder(key) / "manifest.json"
    used = manifest.stat().st_mtime - 86_400 * days
    os.utime(manifest, (used, used))


@pytest.fixture
def aged(tmp_path):
    """Return a store and the keys of four 1 kB artifacts, unused for 3 to 0 days."""
    store, keys = Store(tmp_path), [f"{n:064x}" for n in range(4)]
    for days, key in zip((3, 2, 1, 0), keys, strict=True):
        put(store, files={"a.bin": bytes(1000)}, key=key)
        age(store, key, days)
    return store, keys


def keys_of(items):
    return sorted(item.key for item in items)


def test_prune_by_age_and_by_size_removes_least_recently_used_first(aged):
    store, keys = aged
    since = time.time() - 2.5 * 86_400
    assert keys_of(prune(store, unused_since=since, dry_run=True).removed) == keys[:1]
    assert store.folder(keys[0]).exists()
    assert keys_of(prune(store, unused_since=since).removed) == keys[:1]
    store.find(keys[1])  # marks it as used, so it is now the most recent
    one = max(item.size for item in artifacts_in(store))
    pruning = prune(store, max_bytes=2 * one)
    assert keys_of(pruning.removed) == [keys[2]]
    assert keys_of(pruning.kept) == [keys[1], keys[3]] == keys_of(artifacts_in(store))


def test_prune_by_keys_touches_no_other_artifact(aged):
    store, keys = aged
    assert keys_of(prune(store, keys={keys[1], keys[3]}).removed) == [keys[1], keys[3]]
    assert keys_of(artifacts_in(store)) == [keys[0], keys[2]]


def test_prune_leaves_what_a_run_in_progress_uses(aged):
    store, keys = aged
    age(store, keys[3], 1)
    with store.lease("run"):
        store.find(keys[0])
        pruning = prune(Store(store.root), max_bytes=0)
        assert keys_of(pruning.in_use) == [keys[0]]
        assert keys_of(pruning.removed) == keys[1:]
    assert keys_of(prune(store, max_bytes=0).removed) == [keys[0]]
    assert list(artifacts_in(store)) == []


def test_lease_of_a_killed_process_ends(tmp_path):
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from fgbench.store import Store
        with Store(Path(sys.argv[1])).lease("run"):
            print("leased", flush=True)
            time.sleep(60)
        """
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"leased\n"
    store = Store(tmp_path)
    assert store.oldest_lease() is not None
    holder.kill()
    holder.communicate()
    assert store.oldest_lease() is None
    assert list((tmp_path / "leases").iterdir()) == []


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-20.0", '"1"'])
def test_artifact_with_impossible_duration_is_removed(tmp_path, seconds):
    store = Store(tmp_path)
    put(store)
    manifest = store.folder(KEY) / "manifest.json"
    text = manifest.read_text()
    assert '"seconds": 1,' in text
    manifest.write_text(text.replace('"seconds": 1,', f'"seconds": {seconds},'))
    assert store.find(KEY) is None
    assert store.corrupt == [KEY]


@pytest.mark.parametrize("content", ["[" * 200_000, "[]", '{"files": {"a": {"bytes": NaN}}}'])
def test_malformed_manifest_is_pruned_like_any_other(aged, content):
    store, keys = aged
    (store.folder(keys[1]) / "manifest.json").write_text(content)
    assert keys_of(artifacts_in(store)) == keys
    assert keys_of(prune(store, max_bytes=0).removed) == keys


def test_plan_lookup_does_not_mark_artifacts_as_used(aged):
    store, keys = aged
    before = {item.key: item.used for item in artifacts_in(store)}
    assert store.find(keys[0], mark=False) is not None
    assert {item.key: item.used for item in artifacts_in(store)} == before
    store.find(keys[0])
    assert {item.key: item.used for item in artifacts_in(store)} != before
