"""Environments: made once, by whoever comes first, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from slipway.errors import BuildFailed
from slipway.release.environments import Environments
from slipway.release.hosts import Hosts
from slipway.release.interpreters import Interpreter, Interpreters
from slipway.release.requirements import Requirements, read_requirements
from slipway.types import Environment
from tests.conditions import eventually_async
from tests.contract.release.wheels import make_slow_wheel, make_wheel
from tests.contract.release.workshop import Workshop


class Bench:
    """Environments of a workshop, made from requirement files in a directory of their own."""

    def __init__(self, workshop: Workshop, directory: Path, hosts: Hosts) -> None:
        self.directory, self.lines = directory, list[str]()
        self.environments = Environments(workshop.settings, hosts)
        directory.mkdir(exist_ok=True)

    def requirements(self, text: str) -> Requirements:
        file = self.directory / "requirements.txt"
        if not file.is_file() or file.read_text() != text:  # while it is written, another build may be reading it
            file.write_text(text)
        return read_requirements(self.directory, "requirements.txt")

    async def make(self, text: str) -> tuple[Environment, bool]:
        interpreter = await own_interpreter()
        requirements = self.requirements(text)
        lock = await self.environments.lock("ann", requirements, interpreter, "cpu", self.lines.append)
        options: Sequence[str] = requirements.options
        return await self.environments.ensure("ann", lock.text, options, interpreter, "cpu", self.lines.append)


async def own_interpreter() -> Interpreter:
    return await Interpreters().choose("")


@pytest.fixture
def bench(workshop: Workshop, tmp_path: Path) -> Bench:
    return Bench(workshop, tmp_path / "bench", workshop.hosts)


def imported(environment: Environment, program: str) -> str:
    done = subprocess.run([environment.interpreter, "-I", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


async def test_an_environment_holds_what_was_locked(bench: Bench) -> None:
    environment, made = await bench.make("greeting<2\n")
    assert made
    assert imported(environment, "import greeting; print(greeting.VERSION)") == "1.0"
    assert "greeting==1.0" in environment.lock
    assert "--hash=sha256:" in environment.lock


async def test_an_empty_file_and_comments_need_no_index(bench: Bench) -> None:
    first, made = await bench.make("")
    second, made_again = await bench.make("# nothing yet\n\n")
    assert (made, made_again) == (True, False)
    assert first.digest == second.digest
    assert imported(first, "print('alive')") == "alive"


async def test_a_known_environment_costs_no_process(bench: Bench, workshop: Workshop) -> None:
    first, _ = await bench.make("greeting\n")
    # A link to a host that nobody started: any command would wait for it.
    alone = Bench(workshop, bench.directory, Hosts(workshop.settings.run_directory / "nobody.sock"))
    again, made = await asyncio.wait_for(alone.make("greeting\n"), 5)
    assert (again.digest, made) == (first.digest, False)


async def test_a_lock_stays_until_the_requirements_change(bench: Bench, wheels: Path) -> None:
    before, _ = await bench.make("greeting\n")
    make_wheel(wheels, "greeting", "3.0")
    same, _ = await bench.make("greeting\n")
    changed, _ = await bench.make("greeting>=1\n")
    assert before.digest == same.digest != changed.digest
    assert imported(changed, "import greeting; print(greeting.VERSION)") == "3.0"


async def test_environments_are_read_only_compiled_and_readable_by_everyone(bench: Bench) -> None:
    environment, _ = await bench.make("greeting\n")
    root = Path(environment.interpreter).parent.parent
    assert list(root.glob("lib/python3.*/site-packages/__pycache__/greeting.*.pyc"))
    for folder, _, files in os.walk(root):
        paths = [Path(folder), *(Path(folder) / name for name in files)]
        modes = [path.lstat().st_mode for path in paths if not path.is_symlink()]
        assert all(mode & 0o444 == 0o444 and not mode & 0o222 for mode in modes if not stat.S_ISLNK(mode))


async def test_what_a_version_writes_cannot_reach_uvs_cache(bench: Bench) -> None:
    environment, _ = await bench.make("greeting\n")
    file = next(Path(environment.interpreter).parent.parent.glob("lib/python3.*/site-packages/greeting.py"))
    assert file.stat().st_nlink == 1


async def test_builds_of_one_environment_at_once_make_it_once(bench: Bench, workshop: Workshop) -> None:
    others = [Bench(workshop, bench.directory, workshop.hosts) for _ in range(3)]
    results = await asyncio.gather(*(each.make("greeting\n") for each in (bench, *others)))
    assert sorted(made for _, made in results) == [False, False, False, True]
    assert len({environment.digest for environment, _ in results}) == 1


async def test_a_kill_in_the_middle_leaves_nothing_half_made(bench: Bench, workshop: Workshop, wheels: Path) -> None:
    make_slow_wheel(wheels)
    bench.requirements("slow\n")
    root = workshop.settings.environments_directory
    program = [sys.executable, "-m", "tests.contract.release.environment_process"]
    builder = subprocess.Popen([*program, str(workshop.settings.root), str(wheels), str(bench.directory)])
    await eventually_async(
        lambda: asyncio.to_thread(lambda: list(root.glob("building/*/*/lib/python3*/site-packages/slow")))
    )
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    assert [path.name for path in root.iterdir() if len(path.name) == 64] == []
    environment, made = await bench.make("slow\n")
    assert made
    assert imported(environment, "import slow.part_59; print(slow.part_59.function_1(1))") == "2"
    assert [path.name for path in (root / "building").iterdir() if path.is_dir()] == []


async def test_an_environment_whose_interpreter_vanished_is_made_anew(bench: Bench) -> None:
    environment, _ = await bench.make("greeting\n")
    python = Path(environment.interpreter)
    python.parent.chmod(0o755)
    python.unlink()
    again, made = await bench.make("greeting\n")
    assert made
    assert imported(again, "import greeting; print(greeting.VERSION)") == "2.0"


async def test_options_of_the_requirements_file_hold_for_the_installation(bench: Bench) -> None:
    make_wheel(bench.directory / "own", "private_thing", "1.0")
    environment, _ = await bench.make("--find-links ./own\nprivate_thing\n")
    assert imported(environment, "import private_thing; print(private_thing.VERSION)") == "1.0"


async def test_a_conflict_is_told_in_one_line(bench: Bench) -> None:
    with pytest.raises(BuildFailed, match=r"all versions of picky depend on greeting<2 and requirements.txt asks"):
        await bench.make("picky\ngreeting>=2\n")


async def test_a_typing_mistake_is_told_with_its_place(bench: Bench) -> None:
    with pytest.raises(BuildFailed, match="no such comparison operator"):
        await bench.make("greeting=1\n")
