"""The connection to Ray: starts a local one for a run, or joins one that is there."""

import contextlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import ray
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

from trainer.config import ClusterConfig
from trainer.errors import ClusterUnreachable

NAMESPACE = "ostinato"
_OBJECT_STORE_BYTES = 100 * 2**20  # nothing of ours goes through it, and the default takes 30 % of the memory
# A Ray of one run's own has no dashboard, and what it reports to itself is taken from training: 4.6 % of a core.
_QUIET = {"enable_metrics_collection": False, "event_stats": False, "task_events_report_interval_ms": 0}
_PACKAGES_FOLDER = Path(__file__).resolve().parent.parent
_NOT_UPLOADED = ("/.git", "/.venv", "/runs", "/data", "/docs", "/tests", "/node_modules", "**/__pycache__")


@contextlib.contextmanager
def connected(config: ClusterConfig) -> Iterator[None]:
    """Start a Ray of this run's own (`address: local`), which ends with this process, or join one.

    Raises ClusterUnreachable when nothing answers at the address within `connect_timeout_s`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Ray prints a paragraph into our output for each worker that dies, whatever log_to_driver says; our events tell.
    ray._private.worker.listen_error_messages = lambda *_: None
    # It would also take SIGTERM from us, and leave in the midst of starting (see launcher for its core's handler).
    ray._private.utils.set_sigterm_handler = lambda _handler: None
    if config.address == "local":
        _start_local(config)
    else:
        _join(config)
    try:
        yield
    finally:
        ray.shutdown()


def _start_local(config: ClusterConfig) -> None:
    # With as many CPUs as the workers want: a laptop with two cores may well train four ranks. They talk on loopback.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    ray.init(
        address="local",
        namespace=NAMESPACE,
        num_cpus=max(os.cpu_count() or 1, config.workers * config.cpus_per_worker),
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        logging_level="error",
        _system_config=_QUIET,
    )


def _join(config: ClusterConfig) -> None:
    failures: list[BaseException] = []

    def connect() -> None:
        try:
            _knock(config)
            # `ray start` wants a token as soon as there is one on the machine; ray.init gives it only when told to.
            maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
            ray.init(
                address=config.address,
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level="error",
                runtime_env={"working_dir": str(_PACKAGES_FOLDER), "excludes": list(_NOT_UPLOADED)},
            )
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    # ray.init has no deadline of its own: it tries an address that does not answer for minutes.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(config.connect_timeout_s)
    if thread.is_alive() or failures:
        why = str(failures[0]) if failures else f"no answer within {config.connect_timeout_s:.0f} s"
        raise ClusterUnreachable(
            f"cluster.address = {config.address}: no Ray can be reached there ({why}); start one with "
            "`ray start --head`, correct the address, or use cluster=local; a cluster with authentication needs its "
            "token here too (RAY_AUTH_TOKEN_PATH)"
        )


def _knock(config: ClusterConfig) -> None:
    """Raise OSError when nothing listens at a host:port: Ray would try for long, with a line for each attempt."""
    host, colon, port = config.address.rpartition(":")
    if colon and port.isdigit() and "://" not in config.address:
        socket.create_connection((host, int(port)), timeout=config.connect_timeout_s).close()


def dead_processes() -> set[str]:
    """Return those of Ray's own processes that this one started and that have ended, without which it cannot go on."""
    node = ray._private.worker._global_node
    return set() if node is None else {name for name, _ in node.dead_processes()} & {"gcs_server", "raylet"}
