"""The files that are generated from the code: `make docs` writes them, tests/test_docs.py compares them."""

from pathlib import Path

from objstore import config

ROOT = Path(__file__).parent.parent.parent
BEGIN = "<!-- settings: written by `make docs` -->\n"
END = "<!-- end of settings -->\n"


def generated() -> dict[Path, str]:
    """What each generated file should hold, by path."""
    configuration = ROOT / "docs/configuration.md"
    before, _, rest = configuration.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return {
        ROOT / "config/objstore.toml": config.as_toml(),
        configuration: f"{before}{BEGIN}\n{config.as_markdown()}\n{END}{after}",
    }


def main() -> None:
    """Write them all."""
    for path, text in generated().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
