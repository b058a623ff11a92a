"""Who may do what: four roles, one table. Pure."""

from dataclasses import dataclass
from enum import Enum

from batch.errors import NotAllowedError


class Role(Enum):
    """What a token is for."""

    SUBMITTER = "submitter"
    """Submits jobs, and acts on its own."""
    TEAM_ADMIN = "team_admin"
    """Acts on all jobs of its team."""
    OPERATOR = "operator"
    """Everything."""
    AGENT = "agent"
    """Takes leases for pools, and nothing else."""


class Right(Enum):
    """What a route asks for."""

    READ = "read"
    SUBMIT = "submit"
    CHANGE_JOBS = "change jobs"
    SET_TEAMS = "set teams"
    DRAIN_POOLS = "drain pools"
    MAKE_TOKENS = "make tokens"
    SYNC = "sync a pool"
    FETCH_CODE = "fetch code"


_PEOPLE = frozenset({Role.SUBMITTER, Role.TEAM_ADMIN, Role.OPERATOR})
_OPERATOR = frozenset({Role.OPERATOR})

RIGHTS: dict[Right, frozenset[Role]] = {
    Right.READ: _PEOPLE,
    Right.SUBMIT: _PEOPLE,
    Right.CHANGE_JOBS: _PEOPLE,
    Right.SET_TEAMS: _OPERATOR,
    Right.DRAIN_POOLS: _OPERATOR,
    Right.MAKE_TOKENS: _OPERATOR,
    Right.SYNC: frozenset({Role.AGENT, Role.OPERATOR}),
    Right.FETCH_CODE: frozenset({Role.AGENT, Role.OPERATOR}),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever a token speaks for. `team` None: every team. `name` is the user that its jobs belong to."""

    name: str
    role: Role
    team: str | None = None

    def check(self, right: Right) -> None:
        """Raise NotAllowedError unless the role has the right."""
        if self.role not in RIGHTS[right]:
            allowed = ", ".join(sorted(role.value for role in RIGHTS[right]))
            raise NotAllowedError(
                f"token {self.name!r} is of role {self.role.value}, which may not {right.value}: {allowed} may"
            )

    def check_team(self, team: str) -> None:
        """Raise NotAllowedError unless the token is good for `team`."""
        if self.team is not None and self.team != team:
            raise NotAllowedError(f"token {self.name!r} is for team {self.team!r}, not for {team!r}")

    def check_job(self, team: str, user: str) -> None:
        """Raise NotAllowedError unless the token may act on a job of `user` in `team`."""
        self.check_team(team)
        if self.role is Role.SUBMITTER and user != self.name:
            raise NotAllowedError(
                f"the job is of user {user!r}, and token {self.name!r} (submitter) acts on its own only: "
                "ask them, a team admin or an operator"
            )
