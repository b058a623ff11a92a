"""The queue as it was first."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
_UID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make all tables."""
    _make_jobs()
    _make_sweeps()
    _make_history()
    _make_what_binds_jobs()
    _make_settings()


def _make_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("uid", _UID, nullable=False),
        sa.Column("code", sa.BigInteger(), nullable=True),
        sa.Column("sweep", sa.BigInteger(), nullable=True),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("submitted_s", sa.Float(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("time_limit_s", sa.Float(), nullable=True),
        sa.Column("deadline_s", sa.Float(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changed_s", sa.Float(), nullable=False),
        sa.Column("stop_then", sa.Text(), server_default="", nullable=False),
        sa.Column("stop_now", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("eligible_s", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("pool", sa.Text(), server_default="", nullable=False),
        sa.Column("nodes", sa.Text(), server_default="", nullable=False),
        sa.Column("placed_s", sa.Float(), nullable=True),
        sa.Column("started_s", sa.Float(), nullable=True),
        sa.Column("saved_s", sa.Float(), nullable=True),
        sa.Column("step", sa.BigInteger(), nullable=True),
        sa.Column("ended_s", sa.Float(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("metrics", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("uid"),
    )
    op.create_index("jobs_code", "jobs", ["code"], unique=True, sqlite_where=sa.text("code IS NOT NULL"))
    op.create_index(
        "jobs_name", "jobs", ["name"], unique=False, sqlite_where=sa.text("name <> '' AND sweep IS NULL")
    )
    op.create_index("jobs_state", "jobs", ["state", "team"], unique=False)
    op.create_index("jobs_sweep", "jobs", ["sweep"], unique=False, sqlite_where=sa.text("sweep IS NOT NULL"))


def _make_sweeps() -> None:
    op.create_table(
        "sweeps",
        sa.Column("uid", _UID, nullable=False),
        sa.Column("code", sa.BigInteger(), nullable=False),
        sa.Column("first_uid", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("submitted_s", sa.Float(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("time_limit_s", sa.Float(), nullable=True),
        sa.Column("deadline_s", sa.Float(), nullable=True),
        sa.Column("max_running", sa.Integer(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changed_s", sa.Float(), nullable=False),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("uid"),
        sa.UniqueConstraint("code"),
        sa.UniqueConstraint("first_uid"),
    )
    op.create_index("sweeps_key", "sweeps", ["key", "team"], unique=True)
    op.create_index("sweeps_name", "sweeps", ["name"], unique=False, sqlite_where=sa.text("name <> ''"))


def _make_history() -> None:
    op.create_table(
        "attempts",
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("nodes", sa.Text(), nullable=False),
        sa.Column("placed_s", sa.Float(), nullable=False),
        sa.Column("started_s", sa.Float(), nullable=True),
        sa.Column("saved_s", sa.Float(), nullable=True),
        sa.Column("step", sa.BigInteger(), nullable=True),
        sa.Column("ended_s", sa.Float(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "attempt"),
        sqlite_with_rowid=False,
    )
    op.create_index("attempts_ended", "attempts", ["ended_s"], unique=False)
    op.create_table(
        "events",
        sa.Column("seq", _UID, nullable=False),
        sa.Column("time_s", sa.Float(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("events_uid", "events", ["uid", "seq"], unique=False)


def _make_what_binds_jobs() -> None:
    op.create_table(
        "dependencies",
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("on_uid", sa.BigInteger(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("on_uid", "uid"),
        sqlite_with_rowid=False,
    )
    op.create_index("dependencies_uid", "dependencies", ["uid"], unique=False)
    op.create_table(
        "submissions",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("first_uid", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", "team"),
        sqlite_with_rowid=False,
    )


def _make_settings() -> None:
    op.create_table(
        "meta",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("next_uid", sa.BigInteger(), nullable=False),
        sa.Column("last_time_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "pools",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "teams",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "tokens",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("created_s", sa.Float(), nullable=False),
        sa.Column("expires_s", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
    )
