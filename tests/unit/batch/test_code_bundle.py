import io
import os
import shutil
import tarfile
import zlib
from pathlib import Path

import pytest

from batch.code_bundle import address_of, pack, unpack
from batch.errors import BadRequestError


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_equal_folders_have_one_address_whatever_their_times_owners_and_place(tmp_path: Path) -> None:
    first = write(tmp_path / "one", b_dot_py="2", a__c_dot_py="1")
    (first / "b.py").chmod(0o700)
    second = shutil.copytree(first, tmp_path / "two")
    os.utime(second / "b.py", (1, 1))
    (second / "a/c.py").chmod(0o600)
    bundle = pack(first)
    assert pack(second) == bundle
    unpack(bundle.address, bundle.data, tmp_path / "out")
    assert tree(tmp_path / "out") == {"b.py": "2", "a/c.py": "1"}
    assert os.access(tmp_path / "out/b.py", os.X_OK)
    assert not os.access(tmp_path / "out/a/c.py", os.X_OK)
    (second / "b.py").write_text("3")
    assert pack(second).address != bundle.address


def test_the_rules_decide_what_travels(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "code",
        train_dot_py="",
        _dot_env="TOKEN=1",
        runs__big="",
        src__runs__kept="",
        data__x_dot_bin="",
        data__keep_dot_bin="",
        src____pycache____x_dot_pyc="",
    )
    (folder / "src/__pycache__").mkdir(exist_ok=True)
    (folder / "src/__pycache__/x.pyc").write_text("")
    (folder / ".ostinatoignore").write_text("# ours\n*.bin\n!keep.bin\n")
    bundle = pack(folder)
    unpack(bundle.address, bundle.data, tmp_path / "out")
    assert sorted(tree(tmp_path / "out")) == [".ostinatoignore", "data/keep.bin", "src/runs/kept", "train.py"]


def test_too_much_is_refused_with_the_largest_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", small="1", weights__big_dot_pt="x" * 5000, mid="y" * 900)
    with pytest.raises(BadRequestError, match=r"weights/big.pt \(0.0 MB\), mid .*\.ostinatoignore"):
        pack(folder, limit_bytes=5000)


def test_links_within_travel_and_links_out_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", a__x="1")
    (folder / "a/y").symlink_to("x")
    bundle = pack(folder)
    unpack(bundle.address, bundle.data, tmp_path / "out")
    assert (tmp_path / "out/a/y").readlink() == Path("x")
    for goal in ("../../etc/passwd", "/etc/passwd"):
        (folder / "a/z").unlink(missing_ok=True)
        (folder / "a/z").symlink_to(goal)
        with pytest.raises(BadRequestError, match="out of the working folder"):
            pack(folder)


def archive(*members: tuple[str, str | None]) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, link in members:
            entry = tarfile.TarInfo(name)
            if link is None:
                entry.size = 3
                tar.addfile(entry, io.BytesIO(b"bad"))
            else:
                entry.type, entry.linkname = tarfile.SYMTYPE, link
                tar.addfile(entry)
    content = buffer.getvalue()
    return address_of(content), zlib.compress(content)


@pytest.mark.parametrize(
    "members",
    [
        [("../evil", None)],
        [("/evil", None)],
        [("a/../../evil", None)],
        [("link", "..")],
        [("link", "/tmp")],
        [("sub/in", "."), ("sub/in/evil", None)],
        [("x", "y"), ("x", None)],
        [("x", "y"), ("x/z", None)],
        [("x", None), ("x/z", None)],
        [("x/z", None), ("x", None)],
    ],
)
def test_a_bundle_writes_nothing_outside_its_folder(tmp_path: Path, members: list[tuple[str, str | None]]) -> None:
    address, data = archive(*members)
    with pytest.raises(BadRequestError, match="code bundle"):
        unpack(address, data, tmp_path / "in/out")
    assert [path for path in tmp_path.rglob("*") if path.name != "in"] == []


def test_a_sparse_member_is_not_written_out(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("sparse")
    entry.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(10**13)}
    data = b"0\n".ljust(512, b"\0")
    entry.size = len(data)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(entry, io.BytesIO(data))
    content = buffer.getvalue()
    with pytest.raises(BadRequestError, match="neither a file nor a link"):
        unpack(address_of(content), zlib.compress(content), tmp_path / "out")


def test_a_bundle_that_is_not_what_its_address_says_is_refused(tmp_path: Path) -> None:
    bundle = pack(write(tmp_path / "code", a="1"))
    other = pack(write(tmp_path / "code", a="2"))
    for data, said in ((other.data, "its content is"), (bundle.data[:-5], "incomplete"), (b"not zlib", "damaged")):
        with pytest.raises(BadRequestError, match=said):
            unpack(bundle.address, data, tmp_path / "out")
    bomb = zlib.compress(b"\0" * 300_000_000, 9)
    with pytest.raises(BadRequestError, match="more than 200,000,000 bytes"):
        unpack(bundle.address, bomb, tmp_path / "out")
    assert not (tmp_path / "out").exists()
