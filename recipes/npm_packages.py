"""The npm packages that a symbol catalogue is made of, and how they reach this machine."""

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipes.errors import PackagesError


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """One package at one version: what it gives the catalogue, and under which licence.

    `vendor` is the name under which the catalogue keeps its pictures; None for packages of text.
    `licence` is that of what we take from it, which is not always that of the package.
    """

    name: str
    version: str
    provides: str
    licence: str
    home: str
    vendor: str | None = None

    @property
    def spec(self) -> str:
        """What npm installs: name@version."""
        return f"{self.name}@{self.version}"


PACKAGES = (
    NpmPackage(
        "emoji-datasource-google",
        "16.0.0",
        "list of entities (MIT) and Noto Emoji pictures (Apache-2.0)",
        "Apache-2.0",
        "https://github.com/googlefonts/noto-emoji",
        vendor="noto",
    ),
    NpmPackage(
        "emoji-datasource-twitter",
        "16.0.0",
        "Twemoji pictures",
        "CC-BY-4.0",
        "https://github.com/jdecked/twemoji",
        vendor="twemoji",
    ),
    NpmPackage(
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "Fluent Emoji pictures, three-dimensional style",
        "MIT",
        "https://github.com/microsoft/fluentui-emoji",
        vendor="fluent3d",
    ),
    NpmPackage(
        "cldr-annotations-full",
        "48.2.0",
        "names and keywords",
        "Unicode-3.0",
        "https://cldr.unicode.org",
    ),
    NpmPackage(
        "cldr-annotations-derived-full",
        "48.2.0",
        "names and keywords of sequences",
        "Unicode-3.0",
        "https://cldr.unicode.org",
    ),
)
VENDORS = tuple(package.vendor for package in PACKAGES if package.vendor is not None)
INSTALL_TIMEOUT_S = 900.0


def packages_for(vendors: Sequence[str]) -> tuple[NpmPackage, ...]:
    """Return the packages that a catalogue with these vendors needs. The list of entities comes with noto's."""
    needed = {*vendors, "noto"}
    return tuple(package for package in PACKAGES if package.vendor is None or package.vendor in needed)


def install_packages(
    folder: Path,
    packages: Sequence[NpmPackage],
    *,
    timeout_s: float = INSTALL_TIMEOUT_S,
    progress: Callable[[str], None] = lambda line: None,
) -> Path:
    """Make sure that `packages` are under `folder`/node_modules and return that path. Blocks up to `timeout_s`.

    Packages that are already there at the right version are not fetched again, so an interrupted call is simply
    repeated. No script of any package is run. Raises PackagesError.
    """
    modules = folder / "node_modules"
    missing = [package for package in packages if _installed_version(modules, package) != package.version]
    if missing:
        progress(f"npm: fetching {', '.join(package.spec for package in missing)} into {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        _require(folder, packages)
        _run_npm(folder, timeout_s)
    check_packages(modules, packages)
    return modules


def check_packages(modules: Path, packages: Sequence[NpmPackage]) -> None:
    """Raise PackagesError unless every package lies under `modules` at its version."""
    for package in packages:
        found = _installed_version(modules, package)
        if found != package.version:
            raise PackagesError(
                f"{modules / package.name}: need {package.spec}, found {found or 'nothing'}; "
                f"run `npm install --ignore-scripts {package.spec}` in {modules.parent}, or leave the folder to us"
            )


def _installed_version(modules: Path, package: NpmPackage) -> str | None:
    try:
        manifest = json.loads((modules / package.name / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    version = manifest.get("version")
    return version if isinstance(version, str) else None


def _require(folder: Path, packages: Sequence[NpmPackage]) -> None:
    """Name `packages` in package.json beside those of earlier calls: npm removes what the file does not name."""
    path = folder / "package.json"
    try:
        dependencies = json.loads(path.read_text(encoding="utf-8"))["dependencies"]
    except (OSError, ValueError, KeyError):
        dependencies = {}
    dependencies |= {package.name: package.version for package in packages}
    path.write_text(json.dumps({"private": True, "dependencies": dependencies}, indent=1), encoding="utf-8")


def _run_npm(folder: Path, timeout_s: float) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise PackagesError(
            f"npm is not on the PATH: install Node.js, which brings it, or run `npm install --ignore-scripts` "
            f"in a copy of {folder} elsewhere and name that folder as the packages folder"
        )
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise PackagesError(
            f"npm did not finish within {timeout_s:.0f} s in {folder}: is its registry reachable? "
            "(`npm ping`); calling again goes on where it stopped"
        ) from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        reason = "; ".join(lines[:3]) or f"exit code {done.returncode}"
        raise PackagesError(f"npm install failed in {folder}: {reason}. Check `npm ping` and the disk, then call again")
