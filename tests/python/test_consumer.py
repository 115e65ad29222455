"""A C++ project outside the repository builds against the installed core and runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from websockets.sync.server import ServerConnection, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a command; on failure, fail the test with all that the command printed."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=env,
    )
    if done.returncode != 0:
        pytest.fail(f"{command[0]} ended with {done.returncode}:\n{done.stdout}", pytrace=False)
    return done.stdout


@pytest.fixture(scope="module")
def core_build(repo_root: Path) -> Path:
    """The CMake build of the core that `make test` makes."""
    build = repo_root / "build" / "cpp"
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    if not list((build / "cpp").glob("libwspool.a")):
        pytest.skip("the core is not built in build/cpp; `make test` does that")
    return build


@pytest.fixture(scope="module")
def prefix(core_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the core alone is installed."""
    folder = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", core_build, "--component", "core", "--prefix", folder)
    return folder


@pytest.fixture(scope="module")
def consumer(repo_root: Path, prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build folder of tests/consumer, built against the installed core."""
    # Copied away: what it includes can only come from the prefix.
    source = tmp_path_factory.mktemp("consumer") / "source"
    shutil.copytree(repo_root / "tests" / "consumer", source)
    build = source.parent / "build"
    run(
        *("cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug"),
        f"-DCMAKE_PREFIX_PATH={prefix}",
    )
    run("cmake", "--build", build, "--parallel", "2")
    return build


@pytest.fixture
def echo_uri() -> Iterator[str]:
    """The address of an echo server that others wrote."""

    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        server.shutdown()
        thread.join()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("program", ["app", "app_shared"])
def test_outside_project_exchanges_a_message(
    consumer: Path, prefix: Path, echo_uri: str, program: str
) -> None:
    """Linked statically or shared, the program runs the example's steps."""
    library_path = next(prefix.rglob("libwspool.so")).parent
    env = {**os.environ, "LD_LIBRARY_PATH": str(library_path)}
    output = run(consumer / program, echo_uri, env=env)
    assert "echo: Hello from outside" in output


def test_installed_core_has_no_file_of_python(prefix: Path) -> None:
    """The core is complete without Python, and brings nothing of the wheel along."""
    installed = [path.relative_to(prefix) for path in prefix.rglob("*") if path.is_file()]
    assert installed
    assert not [path for path in installed if "_core" in path.name or path.suffix == ".py"]


def test_exported_package_names_no_source_folder(repo_root: Path, prefix: Path) -> None:
    """The CMake package can be moved to another machine."""
    for file in prefix.rglob("*.cmake"):
        assert str(repo_root) not in file.read_text(encoding="utf-8"), file
