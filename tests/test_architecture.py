"""Imports run downward only, and the doors do not know each other, nor what lies under the services."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
LEVELS = {
    **dict.fromkeys(("s3", "model", "config", "clock", "blocking", "metrics", "log", "durable"), 0),
    **dict.fromkeys(("shared_state", "outbound", "spool"), 0),
    "erasure": 1,
    **dict.fromkeys(("storage", "meta"), 2),
    **dict.fromkeys(("iam", "events", "remote", "encryption", "select"), 3),
    "service": 4,
    "jobs": 5,
    **dict.fromkeys(("api", "admin", "console"), 6),
}
TOP = 7
"""Everything else at the top of the package composes: app, cli, __main__ and what helps them."""
FORBIDDEN = {("api", "storage"), ("api", "meta"), ("service", "iam"), ("s3", "config")}
"""Pairs that the levels would allow."""


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """The objstore packages a module imports, and whether only for type checking."""
    tree = ast.parse(path.read_text(), str(path))
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "objstore" and len(parts) > 1:
                yield parts[1], id(node) in guarded


def test_imports_run_downward() -> None:
    wrong = []
    for path in sorted((ROOT / "objstore").rglob("*.py")):
        relative = path.relative_to(ROOT / "objstore")
        package = relative.parts[0].removesuffix(".py")
        for imported, is_for_types in imports_of(path):
            above, below = LEVELS.get(package, TOP), LEVELS.get(imported, TOP)
            is_wrong = above < below or (above == below and above not in (0, TOP) and package != imported)
            if is_wrong or (package, imported) in FORBIDDEN:
                wrong.append(f"{relative} imports {imported}{' (types)' if is_for_types else ''}")
    assert not wrong, "\n".join(wrong)


def test_the_dialect_has_no_socket_and_no_event_loop() -> None:
    for path in sorted((ROOT / "objstore/s3").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & {"asyncio", "socket", "aiohttp"}, path
            assert not isinstance(node, ast.AsyncFunctionDef), path
