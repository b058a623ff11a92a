"""Working folders of submitted jobs, by content, in the controller's folder. See code_bundle.py."""

import errno
import os
from pathlib import Path

from batch.code_bundle import check, is_address
from batch.errors import BadRequestError, NotFoundError, StoreError, StoreFullError


class CodeStore:
    """Blocking; called in threads. Bundles are never changed, so that nobody needs a lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, address: str) -> bool:
        """Return whether the bundle is here."""
        return self._path(address).exists()

    def put(self, address: str, data: bytes) -> None:
        """Keep a bundle; durable on return. Raises BadRequestError when the content has another address."""
        path = self._path(address)
        if path.exists():
            return
        check(address, data)
        temporary = path.with_name(f".{address}.{os.urandom(4).hex()}")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            kind = StoreFullError if error.errno in {errno.ENOSPC, errno.EDQUOT} else StoreError
            raise kind(f"code bundle {address[:12]}: {path.parent}: {error.strerror}; nothing was kept") from error

    def get(self, address: str) -> bytes:
        """Return a bundle. Raises NotFoundError."""
        try:
            return self._path(address).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"code bundle {address[:12]} is not here: submit the job again") from None

    def _path(self, address: str) -> Path:
        if not is_address(address):
            raise BadRequestError(f"code bundle {address[:80]!r}: must be 64 hexadecimal digits")
        return self._folder / address
