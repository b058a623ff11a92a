"""The store on S3, Google Cloud Storage and Azure. The only file that imports obstore.

obstore (Rust) costs a half to a third of s3fs's CPU time per byte and takes our memory without copying it. It
repeats failed requests by itself: server errors and broken connections, with exponential back-off, up to a
total time.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from checkpoint.errors import ObjectMissing, StoreDenied, StoreError, StoreFull, StoreUnavailable
from checkpoint.store import ObjectInfo, check_key

_PART_BYTES = 16 * 2**20
"""Size of a multipart upload's parts: the 10,000 parts that S3 allows hold 156 GiB, far above any segment."""
_CONCURRENT_PARTS = 8
_FIRST_BACKOFF = timedelta(milliseconds=100)
_LONGEST_BACKOFF = timedelta(seconds=15)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_ENDPOINT_OPTIONS = ("endpoint", "endpoint_url", "aws_endpoint", "aws_endpoint_url")
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_S3FS_NAMES = {
    "key": "access_key_id",
    "secret": "secret_access_key",
    "endpoint_url": "endpoint",
    "token": "session_token",
}
_TO_S3FS_NAMES = {
    "access_key_id": "key",
    "secret_access_key": "secret",
    "endpoint": "endpoint_url",
    "session_token": "token",
}
_INSTANCE_METADATA = "http://169.254.169.254"
"""Where the client looks for the machine's own role when it has found no credentials (AWS, GCS)."""
_STATUS = re.compile(r"status code: (\d{3})")
_S3_ERROR = re.compile(r"<Code>(\w+)</Code>\s*<Message>([^<]*)</Message>")
_FULL = {"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "EntityTooLarge"}


class ObjectStore:
    """Objects below one prefix of a bucket. Every request has a deadline, repetitions a total one."""

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        """Open `url` (s3://bucket/prefix, gs://…, az://…) and list it once, to fail early and clearly.

        Options are obstore's own (`endpoint`, `region`, `access_key_id`, …; s3fs's names `key`, `secret` and
        `endpoint_url` too), and ours: `timeout_s` of one request (120), `retry_timeout_s` of a request and
        its repetitions (180), `max_retries` (10), `allow_http`. S3's AWS_* variables count where an option is
        not given. Raises StoreDenied, StoreUnavailable, or StoreError for a bucket or option that does not
        exist.
        """
        options = {_S3FS_NAMES.get(name, name): value for name, value in (storage_options or {}).items()}
        self.url = url.rstrip("/")
        self._timeout_s = float(options.pop("timeout_s", 120.0))
        self._retry_timeout_s = float(options.pop("retry_timeout_s", 180.0))
        self._max_retries = int(options.pop("max_retries", 10))
        self._s3 = urlsplit(url).scheme in {"s3", "s3a"}
        self._allow_http = bool(options.pop("allow_http", False)) or _allows_http(
            options if self._s3 else {}, self.url
        )
        if self._s3:
            # The server checks each part's CRC64; signing the payload too would cost four times the CPU time.
            options = {"checksum_algorithm": "CRC64NVME", "unsigned_payload": True} | options
        self._options = options
        self._check_reachable()
        self._client = self._open(self._timeout_s, self._retry_timeout_s, self._max_retries)

    def put(self, key: str, data: bytes | memoryview) -> None:
        """See Store."""
        check_key(key)
        try:
            obstore.put(self._client, key, data, chunk_size=_PART_BYTES, max_concurrency=_CONCURRENT_PARTS)
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(error, key) from error

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See Store."""
        check_key(key)
        try:
            obstore.put(self._client, key, data, mode="create")
        except AlreadyExistsError:
            # The client repeats requests; the object that is in the way may be our own.
            return self.get(key) == data
        except (BaseError, OSError, ValueError) as error:
            translated = self._translated(error, key)
            if isinstance(translated, StoreUnavailable) and self._holds(key, data):
                return True
            raise translated from error
        return True

    def put_stream(self, key: str, parts: Iterable[memoryview]) -> None:
        """See Store."""
        check_key(key)
        source = _Source(parts)
        try:
            obstore.put(
                self._client,
                key,
                source,
                use_multipart=True,
                chunk_size=_PART_BYTES,
                max_concurrency=_CONCURRENT_PARTS,
            )
        except (BaseError, OSError, ValueError) as error:
            if source.error is not None:
                raise source.error from None
            raise self._translated(error, key) from error

    def get(self, key: str) -> bytes:
        """See Store."""
        try:
            return bytes(obstore.get(self._client, key).bytes())
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(error, key) from error

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        """See Store."""
        if not ranges:
            return []
        starts, stops = [start for start, _ in ranges], [stop for _, stop in ranges]
        try:
            found = obstore.get_ranges(self._client, key, starts=starts, ends=stops, coalesce=0)
            return [memoryview(part) for part in found]
        except (BaseError, OSError, ValueError) as error:
            if _status(error) == 416:
                return self._short_ranges(key, ranges)
            raise self._translated(error, key) from error

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See Store."""
        folder = prefix.rpartition("/")[0]
        try:
            found = [
                ObjectInfo(item["path"], item["size"], item["last_modified"].timestamp())
                for page in obstore.list(self._client, folder or None, chunk_size=1000)
                for item in page
                if item["path"].startswith(prefix)
            ]
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(error, prefix) from error
        # S3 sorts by key; SeaweedFS sorts folder by folder.
        return iter(sorted(found, key=lambda info: info.key))

    def delete(self, keys: Iterable[str]) -> None:
        """See Store."""
        paths = [check_key(key) for key in keys]
        if not paths:
            return
        try:
            obstore.delete(self._client, paths)
        except (BaseError, OSError, ValueError) as error:
            translated = self._translated(error, paths[0])
            if not isinstance(translated, ObjectMissing):
                raise translated from error
            self._delete_singly(paths)

    def abort_uploads(self, older_than_s: float) -> int:
        """See Store. Only S3's; Azure and Google drop them by themselves or by a rule."""
        if not self._s3:
            return 0
        from checkpoint.store_fsspec import FsspecStore  # noqa: PLC0415 - half a second to import, once per sweep

        options = {new: self._options[old] for old, new in _TO_S3FS_NAMES.items() if old in self._options}
        endpoint = _endpoint(self._options)
        if endpoint:
            options["endpoint_url"] = endpoint
        if "region" in self._options:
            options["client_kwargs"] = {"region_name": self._options["region"]}
        return FsspecStore(self.url, options).abort_uploads(older_than_s)

    def _open(self, timeout_s: float, retry_timeout_s: float, max_retries: int) -> Any:  # noqa: ANN401 - a Rust class
        config: Any = self._options
        client: Any = {
            "allow_http": self._allow_http,
            "connect_timeout": timedelta(seconds=min(5.0, timeout_s)),
            "timeout": timedelta(seconds=timeout_s),
        }
        retry: Any = {
            "max_retries": max_retries,
            "retry_timeout": timedelta(seconds=retry_timeout_s),
            "backoff": {"init_backoff": _FIRST_BACKOFF, "max_backoff": _LONGEST_BACKOFF, "base": 2},
        }
        try:
            return from_url(self.url, config=config, client_options=client, retry_config=retry)
        except (BaseError, ValueError, TypeError) as error:
            raise StoreError(
                f"{self.url}: cannot open this store: {_first_line(error)}: check storage_options"
            ) from error

    def _check_reachable(self) -> None:
        """List one object, impatiently."""
        try:
            next(iter(obstore.list(self._open(5.0, 10.0, 2), "commit", chunk_size=1)), None)
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(error, "") from error

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self.get(key) == data
        except StoreError:
            return False

    def _short_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        """Return what there is of ranges of which some begin past the end, which servers call an error."""
        try:
            size = obstore.head(self._client, key)["size"]
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(error, key) from error
        inside = [(start, min(stop, size)) for start, stop in ranges if start < size]
        found = iter(self.get_ranges(key, inside))
        return [next(found) if start < size else memoryview(b"") for start, _ in ranges]

    def _delete_singly(self, paths: Sequence[str]) -> None:
        for path in paths:
            try:
                obstore.delete(self._client, path)
            except FileNotFoundError:
                continue
            except (BaseError, OSError, ValueError) as error:
                raise self._translated(error, path) from error

    def _translated(self, error: Exception, key: str) -> StoreError:
        where, text = f"{self.url}/{key}" if key else self.url, str(error)
        match = _S3_ERROR.search(text)
        code, message = (match[1], match[2].rstrip(".")) if match else ("", _reason(error))
        if code == "NoSuchBucket":
            return StoreError(
                f"{where}: there is no such bucket at {self._server()}: create it, or correct the URL"
            )
        if isinstance(error, FileNotFoundError):
            return ObjectMissing(f"{where}: no such object")
        if _INSTANCE_METADATA in text:
            names = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" if self._s3 else "the service's variables"
            return StoreDenied(f"{where}: no credentials: set {names}, or storage_options")
        kind, what = _kind(_status(error), code)
        return kind(f"{where}: {self._server()} {what}: {message}")

    def _server(self) -> str:
        return (_endpoint(self._options) if self._s3 else None) or "the service"


class _Source:
    """Iterates over parts and keeps the error that they raised: obstore may wrap it into one of its own."""

    def __init__(self, parts: Iterable[memoryview]) -> None:
        self._parts = iter(parts)
        self.error: BaseException | None = None

    def __iter__(self) -> "_Source":
        return self

    def __next__(self) -> memoryview:
        try:
            return next(self._parts)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


def _endpoint(options: Mapping[str, Any]) -> str | None:
    named = [options[name] for name in _ENDPOINT_OPTIONS if options.get(name)]
    named += [os.environ[name] for name in _ENDPOINT_VARIABLES if os.environ.get(name)]
    return str(named[0]) if named else None


def _allows_http(s3_options: Mapping[str, Any], url: str) -> bool:
    """Return whether plain HTTP is in order: to this machine only, unless said explicitly."""
    endpoint = _endpoint(s3_options)
    if endpoint is None or urlsplit(endpoint).scheme != "http":
        return False
    if urlsplit(endpoint).hostname in _LOOPBACK or os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true":
        return True
    raise StoreError(
        f"{url}: endpoint {endpoint} is not encrypted: use https, or say storage_options.allow_http=true"
    )


def _status(error: Exception) -> int | None:
    match = _STATUS.search(str(error))
    return int(match[1]) if match else None


def _kind(status: int | None, code: str) -> tuple[type[StoreError], str]:
    """Return our error for an HTTP status and S3's code, and what the server did."""
    if status in {401, 403}:
        return StoreDenied, "refuses, check credentials and permissions"
    if status == 507 or code in _FULL:
        return StoreFull, "has no space for us"
    if status is None or status >= 500 or status == 429:
        return StoreUnavailable, "gives no answer"
    return StoreError, f"answers {status}"


def _first_line(error: Exception) -> str:
    """Return the message without the dump of internals that follows it."""
    return str(error).strip().partition("\n")[0][:300]


def _reason(error: Exception) -> str:
    """Return the end of the first line: before it stand method, address and numbers of tries."""
    return _first_line(error).rpartition(" - ")[2]
