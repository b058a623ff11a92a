"""What lies in the repository: nothing of anybody's machine, and nothing that belongs elsewhere."""

import re
from pathlib import Path

import pytest
from fixtures_sources import REPOSITORY, tracked_files

# The brackets keep the patterns from matching themselves.
FOREIGN = re.compile(
    r"(?<![\w.~/-])/(hom[e]|roo[t]|User[s]|wor[k]|workspac[e])/\w"  # a folder of somebody's machine
    r"|/tm[p]/\w"
    r"|(?<![\w-])(\.\./)?share[d]/"
    r"|(pyp[i]|pythonhoste[d]|npmj[s])\.(org|com)|download\.pytorc[h]\.org"  # the user's settings name the registry
    r"|(index-ur[l])"
)
UNCHECKED = {Path(".ci/run")}  # may name the reference data beside the checkout
MAX_FILE_BYTES = 1_500_000
SAMPLE_FOLDER = Path("recipes/catalogue_sample")
MAX_SAMPLE_BYTES = 4 * 2**20


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    files = tracked_files()
    if files is None:
        pytest.skip("not a git checkout")
    return files


def foreign_matches(path: Path) -> list[str]:
    try:
        text = (REPOSITORY / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []  # not text
    return [
        f"{path}:{number}: {match[0]}"
        for number, line in enumerate(text.splitlines(), start=1)
        for match in FOREIGN.finditer(line)
    ]


def test_no_file_names_a_folder_or_registry_of_one_machine(tracked: list[Path]) -> None:
    assert [found for path in tracked if path not in UNCHECKED for found in foreign_matches(path)] == []


def test_files_are_small_and_the_sample_is_bounded(tracked: list[Path]) -> None:
    sizes_bytes = {path: (REPOSITORY / path).stat().st_size for path in tracked}
    in_sample = {path for path in tracked if SAMPLE_FOLDER in path.parents}
    assert [str(path) for path, size in sizes_bytes.items() if size > MAX_FILE_BYTES and path not in in_sample] == []
    assert sum(sizes_bytes[path] for path in in_sample) <= MAX_SAMPLE_BYTES


def test_nothing_generated_is_tracked(tracked: list[Path]) -> None:
    generated = [path for path in tracked if {".venv", "__pycache__", "node_modules"} & {*path.parts}]
    results = [path for path in tracked if path.parts[0] in {"runs", "data"}]
    assert [str(path) for path in generated + results] == []
