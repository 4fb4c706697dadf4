"""The files that are generated from the code: `make docs` writes them, tests/test_docs.py compares them."""

from pathlib import Path

from objstore import config
from objstore.api import operations

ROOT = Path(__file__).parent.parent.parent


def generated() -> dict[Path, str]:
    """What each generated file should hold, by path."""
    configuration, compatibility = ROOT / "docs/configuration.md", ROOT / "docs/s3_compatibility.md"
    return {
        ROOT / "config/objstore.toml": config.as_toml(),
        configuration: _filled(configuration.read_text(), "settings", config.as_markdown()),
        compatibility: _filled(
            _filled(compatibility.read_text(), "settings", config.as_markdown(config.DIALECT)),
            "operations",
            operations.as_markdown(),
        ),
    }


def _filled(text: str, name: str, content: str) -> str:
    """`text` with `content` between the marks called `name`."""
    begin, end = f"<!-- {name}: written by `make docs` -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = text.partition(begin)
    _, mark, after = rest.partition(end)
    assert mark, f"there are no marks for {name}"
    return f"{before}{begin}\n{content}\n{end}{after}"


def main() -> None:
    """Write them all."""
    for path, text in generated().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
