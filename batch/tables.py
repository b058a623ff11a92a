"""The tables of the queue. migrations/ makes and changes them; a test checks that the two agree.

`jobs` has a row for every job, and for every member of a sweep that something has happened to; the other members stand
as their sweep's row says (`state`, `changed_s`, `message`), so that a sweep of any size is submitted as one row. A row
of `jobs` holds the current attempt; `attempts` has those that are over. Immutable columns come first.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    false,
    text,
)

METADATA = MetaData()

_UID = BigInteger().with_variant(Integer, "sqlite")  # in SQLite only INTEGER can be the key that rows are stored by

META = Table(
    "meta",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    Column("next_uid", BigInteger, nullable=False),
    Column("last_time_s", Float, nullable=False),
)
"""One row: whose turn it is, the next uid that was never drawn, and the time of the last event."""

TEAMS = Table("teams", METADATA, Column("name", Text, primary_key=True), Column("document", Text, nullable=False))

POOLS = Table("pools", METADATA, Column("name", Text, primary_key=True), Column("document", Text, nullable=False))

JOBS = Table(
    "jobs",
    METADATA,
    Column("uid", _UID, primary_key=True),
    Column("code", BigInteger),
    Column("sweep", BigInteger),
    Column("team", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("submitted_s", Float, nullable=False),
    Column("tier", Text, nullable=False),
    Column("time_limit_s", Float),
    Column("deadline_s", Float),
    Column("state", Text, nullable=False),
    Column("changed_s", Float, nullable=False),
    Column("stop_then", Text, nullable=False, server_default=""),
    Column("stop_now", Boolean, nullable=False, server_default=false()),
    Column("eligible_s", Float, nullable=False, server_default=text("0")),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("fence", BigInteger, nullable=False, server_default=text("0")),
    Column("pool", Text, nullable=False, server_default=""),
    Column("nodes", Text, nullable=False, server_default=""),
    Column("placed_s", Float),
    Column("started_s", Float),
    Column("saved_s", Float),
    Column("step", BigInteger),
    Column("ended_s", Float),
    Column("exit_code", Integer),
    Column("cause", Text),
    Column("message", Text, nullable=False, server_default=""),
    Column("metrics", Text, nullable=False, server_default=""),
    Index("jobs_code", "code", unique=True, sqlite_where=text("code IS NOT NULL")),
    Index("jobs_state", "state", "team"),
    Index("jobs_sweep", "sweep", sqlite_where=text("sweep IS NOT NULL")),
    Index("jobs_name", "name", sqlite_where=text("name <> '' AND sweep IS NULL")),
)

SWEEPS = Table(
    "sweeps",
    METADATA,
    Column("uid", _UID, primary_key=True),
    Column("code", BigInteger, nullable=False, unique=True),
    Column("first_uid", BigInteger, nullable=False, unique=True),
    Column("count", BigInteger, nullable=False),
    Column("team", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("submitted_s", Float, nullable=False),
    Column("tier", Text, nullable=False),
    Column("time_limit_s", Float),
    Column("deadline_s", Float),
    Column("max_running", Integer),
    Column("state", Text, nullable=False),
    Column("changed_s", Float, nullable=False),
    Column("message", Text, nullable=False, server_default=""),
    Index("sweeps_key", "key", "team", unique=True),
    Index("sweeps_name", "name", sqlite_where=text("name <> ''")),
)

ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("uid", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("pool", Text, nullable=False),
    Column("nodes", Text, nullable=False),
    Column("placed_s", Float, nullable=False),
    Column("started_s", Float),
    Column("saved_s", Float),
    Column("step", BigInteger),
    Column("ended_s", Float, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("exit_code", Integer),
    Column("cause", Text),
    Column("message", Text, nullable=False),
    Column("metrics", Text, nullable=False),
    PrimaryKeyConstraint("uid", "attempt"),
    Index("attempts_ended", "ended_s"),
    sqlite_with_rowid=False,
)

DEPENDENCIES = Table(
    "dependencies",
    METADATA,
    Column("uid", BigInteger, nullable=False),
    Column("on_uid", BigInteger, nullable=False),
    Column("ok", Boolean, nullable=False),
    PrimaryKeyConstraint("on_uid", "uid"),
    Index("dependencies_uid", "uid"),
    sqlite_with_rowid=False,
)
"""Who waits for whom. `uid` and `on_uid` are jobs, members or sweeps."""

SUBMISSIONS = Table(
    "submissions",
    METADATA,
    Column("key", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("first_uid", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("key", "team"),
    sqlite_with_rowid=False,
)
"""What was submitted under an idempotency key."""

EVENTS = Table(
    "events",
    METADATA,
    Column("seq", _UID, primary_key=True),
    Column("time_s", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("uid", BigInteger),
    Column("payload", Text, nullable=False),
    Index("events_uid", "uid", "seq"),
)
"""The journal: rows are added and never changed."""

TOKENS = Table(
    "tokens",
    METADATA,
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("team", Text),
    Column("created_s", Float, nullable=False),
    Column("expires_s", Float),
)
