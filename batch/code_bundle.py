"""A working folder as one archive named by its content, so that a job runs what was submitted, whatever changes later.

The archive is a tar in a fixed order with fixed times, owners and modes; the address is the SHA-256 of the tar before
compression. Equal folders have equal addresses on every machine, and are sent and unpacked once.
"""

import hashlib
import io
import posixpath
import shutil
import stat
import tarfile
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from batch.errors import BadRequestError
from batch.ignore_rules import DEFAULT_RULES, IgnoreRules

IGNORE_FILE = ".ostinatoignore"
MAX_BUNDLE_BYTES = 100 * 10**6
_SHOWN = 5
_BLOCK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Bundle:
    """A packed folder: its address (64 hexadecimal digits), the compressed archive, and what went in."""

    address: str
    data: bytes
    num_files: int
    content_bytes: int


def pack(folder: Path, *, limit_bytes: int = MAX_BUNDLE_BYTES) -> Bundle:
    """Pack what of `folder` the rules let travel: DEFAULT_RULES, then those of its .ostinatoignore.

    Raises BadRequestError when it is more than `limit_bytes`, naming the largest files, or has a symbolic link that
    leads out of it.
    """
    if not folder.is_dir():
        raise BadRequestError(f"working folder {folder}: there is no such folder")
    files = list(_travelling(folder, _rules(folder)))
    total = sum(path.lstat().st_size for _, path in files)
    if total > limit_bytes:
        raise _too_large(files, total, limit_bytes)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in files:
            _add(archive, folder, name, path)
    content = tar.getvalue()
    return Bundle(address_of(content), zlib.compress(content, 6), len(files), total)


def address_of(content: bytes) -> str:
    """Return the address of a tar."""
    return hashlib.sha256(content).hexdigest()


def check(address: str, data: bytes, *, limit_bytes: int = MAX_BUNDLE_BYTES) -> bytes:
    """Return the tar in `data`, which is what `address` says. Raises BadRequestError.

    Never expands to more than twice `limit_bytes`, tar's own padding included.
    """
    try:
        expander = zlib.decompressobj()
        content = expander.decompress(data, 2 * limit_bytes)
    except zlib.error as error:
        raise BadRequestError(f"code bundle {address}: damaged ({error}); submit it again") from error
    if expander.unconsumed_tail or not expander.eof:
        raise BadRequestError(f"code bundle {address}: incomplete, or more than {2 * limit_bytes:,} bytes")
    if address_of(content) != address:
        raise BadRequestError(f"code bundle {address}: its content is {address_of(content)}; submit it again")
    return content


def unpack(address: str, data: bytes, target: Path) -> None:
    """Unpack into `target`, which appears as a whole or not at all. Raises BadRequestError; writes nothing outside."""
    content = check(address, data)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    aside.mkdir(parents=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in archive:
                _extract(archive, member, aside)
        if not target.exists():
            aside.rename(target)
    except tarfile.TarError as error:
        raise BadRequestError(f"code bundle {address}: not a tar ({error})") from error
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise BadRequestError(f"code bundle {address}: one name is a file and a folder ({error.filename})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def is_address(text: str) -> bool:
    """Return whether `text` can be an address: it becomes part of paths."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _rules(folder: Path) -> IgnoreRules:
    own = folder / IGNORE_FILE
    lines = own.read_text().splitlines() if own.is_file() else []
    return IgnoreRules([*DEFAULT_RULES, *lines])


def _travelling(folder: Path, rules: IgnoreRules, below: str = "") -> Iterator[tuple[str, Path]]:
    """Yield name and path of files and links, in the order of their names."""
    for path in sorted((folder / below).iterdir(), key=lambda each: each.name):
        name = f"{below}{path.name}"
        is_folder = path.is_dir() and not path.is_symlink()
        if rules.ignores(name, is_folder=is_folder):
            continue
        if is_folder:
            yield from _travelling(folder, rules, f"{name}/")
        elif path.is_symlink() or path.is_file():  # sockets, pipes and devices are not content
            yield name, path


def _add(archive: tarfile.TarFile, folder: Path, name: str, path: Path) -> None:
    entry = tarfile.TarInfo(name)
    if path.is_symlink():
        entry.type = tarfile.SYMTYPE
        entry.linkname = str(path.readlink())
        if not _stays_inside(name, entry.linkname):
            raise BadRequestError(
                f"{folder / name} is a link to {entry.linkname}, out of the working folder: add it to {IGNORE_FILE}, "
                "or put the file itself there"
            )
        archive.addfile(entry)
        return
    data = path.read_bytes()
    entry.size = len(data)
    entry.mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
    archive.addfile(entry, io.BytesIO(data))


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write one member. Only what `pack` makes is taken: files and inner links at plain relative names."""
    parts = PurePosixPath(member.name).parts
    if not parts or member.name.startswith("/") or ".." in parts:
        raise BadRequestError(f"code bundle: the name {member.name!r} leads out of the folder")
    path = target.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent.resolve() != target.resolve().joinpath(*parts[:-1]) or path.is_symlink():
        raise BadRequestError(f"code bundle: {member.name!r} lies behind a link")
    if member.issym() and _stays_inside(member.name, member.linkname):
        path.symlink_to(member.linkname)
    elif member.isreg() and not member.issparse():  # a few bytes of a sparse one may stand for terabytes
        source = archive.extractfile(member)
        assert source is not None
        with path.open("wb") as file:
            shutil.copyfileobj(source, file, _BLOCK_BYTES)
        path.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)
    else:
        raise BadRequestError(f"code bundle: {member.name!r} is neither a file nor a link within the folder")


def _stays_inside(name: str, link: str) -> bool:
    if link.startswith("/"):
        return False
    goal = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
    return goal != ".." and not goal.startswith("../")


def _too_large(files: list[tuple[str, Path]], total: int, limit_bytes: int) -> BadRequestError:
    sizes = sorted(((path.lstat().st_size, name) for name, path in files), reverse=True)[:_SHOWN]
    largest = ", ".join(f"{name} ({size / 1e6:,.1f} MB)" for size, name in sizes)
    return BadRequestError(
        f"the working folder has {total / 1e6:,.1f} MB in {len(files):,} files, allowed are "
        f"{limit_bytes / 1e6:,.1f} MB; the largest: {largest}. Name what does not have to travel in {IGNORE_FILE} (as "
        "in .gitignore), and keep data where the jobs can read it"
    )
