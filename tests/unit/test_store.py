"""The store: whole or not at all, verified, shared."""

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fgbench.errors import StoreError
from fgbench.store import Product, Store
from fgbench.store.atomic import write_atomically

KEY = "ab" * 32


def put(store, value=None, files=None, key=KEY):
    return store.put(
        key, Product(value or {"x": 1.5}, files or {"a.bin": b"abc"}), stage="s", seconds=1
    )


def test_artifact_round_trips(tmp_path):
    store = Store(tmp_path)
    assert store.get(KEY) is None
    made = put(store)
    found = store.get(KEY)
    assert found == made
    assert found.value == {"x": 1.5}
    assert found.path("a.bin").read_bytes() == b"abc"
    with pytest.raises(StoreError, match=r"no file 'b\.bin'"):
        found.path("b.bin")


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
    store = Store(tmp_path)
    damage(put(store).folder)
    assert store.get(KEY) is None
    assert store.damaged == [KEY]
    put(store)
    assert store.get(KEY).path("a.bin").read_bytes() == b"abc"


def test_artifact_appearing_during_lookup_is_kept(tmp_path, monkeypatch):
    """Another process may rename its folder into place between any two system calls of ours."""
    whole = put(Store(tmp_path / "other")).folder
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
            store.get(KEY)
        assert store.damaged == []
        shutil.rmtree(final, ignore_errors=True)


def test_unreadable_artifact_is_not_treated_as_corrupt(tmp_path, monkeypatch):
    store = Store(tmp_path)
    made = put(store)

    def refused(self, *arguments, **options):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    for call in ("read_bytes", "open"):
        with monkeypatch.context() as patched:
            patched.setattr(Path, call, refused)
            with pytest.raises(StoreError, match=r"cannot be read: Too many open files"):
                store.get(KEY)
    assert store.damaged == []
    assert store.get(KEY) == made


def test_first_of_two_equal_artifacts_is_kept(tmp_path):
    first = put(Store(tmp_path))
    second = put(Store(tmp_path))
    assert second == first
    assert list((tmp_path / "building").iterdir()) == []


def test_non_json_value_is_refused_and_leaves_nothing(tmp_path):
    store = Store(tmp_path)
    with pytest.raises((TypeError, ValueError)):
        store.put(KEY, Product({"x": float("nan")}), stage="s", seconds=0)
    assert store.get(KEY) is None
    assert list((tmp_path / "building").iterdir()) == []


def test_unwritable_store_is_one_error(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(blocker / "store")
    with pytest.raises(StoreError, match="cannot be written"):
        write_atomically(blocker / "x" / "y", b"")


def test_full_disk_keeps_stored_artifacts(tmp_path):
    """The kernel refuses to let a file grow, as a full disk would, in the middle of an artefact."""
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
    assert "Free space" in answer.stdout
    store = Store(tmp_path)
    assert store.get(KEY).value == {"n": 1}
    assert store.get("cd" * 32) is None
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
                if store.get(key) is None:
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
    assert [store.get(f"{n:064x}").value["n"] for n in range(40)] == list(range(40))
    assert store.damaged == []


def test_replaced_corrupt_artifact_is_not_discarded(tmp_path, monkeypatch):
    """Another process rebuilds it between the look at the damage and the removal."""
    store = Store(tmp_path)
    damage_flip(put(store).folder)
    discard = Store._discard

    def rebuild_first(self, key):
        monkeypatch.setattr(Store, "_discard", discard)
        other = Store(tmp_path)
        assert other.get(key) is None  # the other one saw the damage too, and removed it
        put(other)
        return discard(self, key)

    monkeypatch.setattr(Store, "_discard", rebuild_first)
    assert store.get(KEY).path("a.bin").read_bytes() == b"abc"
    assert store.damaged == []
    assert Store(tmp_path).get(KEY) is not None
