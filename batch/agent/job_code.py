"""Gives each job its own copy of the working folder that was submitted."""

import errno
import os
import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

from batch.agent.retention import used
from batch.code_bundle import is_address, unpack
from batch.errors import BadRequestError


class JobCode:
    """Unpacked bundles below `folder`, one for each address. May be used from several threads."""

    def __init__(self, folder: Path, fetch: Callable[[str], bytes]) -> None:
        self._folder = folder
        self._fetch = fetch
        self._fetching = threading.Lock()

    def provide(self, address: str, job_folder: Path) -> Path:
        """Return the job's own copy, made when it has none: it may write there and disturbs no other job.

        All attempts of a job share the copy. Blocking. Raises BadRequestError when the bundle is not what its address
        says, what `fetch` raises, and OSError when it cannot be written.
        """
        if not is_address(address):
            raise BadRequestError(f"code = {address!r}: must be 64 hexadecimal digits")
        target = job_folder / f"code-{address[:12]}"
        if not target.exists():
            source = self._unpacked(address)
            aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            try:
                shutil.copytree(source, aside, symlinks=True)
                aside.rename(target)
            except OSError as error:
                shutil.rmtree(aside, ignore_errors=True)  # on a full disk half a copy would only make it worse
                raise _first_of(error) from error
        return target

    def _unpacked(self, address: str) -> Path:
        path = self._folder / address
        with self._fetching:  # the jobs of a sweep ask for the same bundle at once
            if not path.exists():
                self._folder.mkdir(parents=True, exist_ok=True)
                unpack(address, self._fetch(address), path)
            used(path)
        return path


def _first_of(error: OSError) -> OSError:
    """Return the first of the errors that a copy of many files has collected, with its number."""
    if not isinstance(error, shutil.Error):
        return error
    source, _, why = error.args[0][0]
    number = next((number for number in errno.errorcode if os.strerror(number) in why), 0)
    return OSError(number, os.strerror(number), source) if number else OSError(why)
