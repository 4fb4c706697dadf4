"""`python -m objstore`: the command line."""


def main() -> None:
    """Run the command named on the command line."""
    from objstore.cli import main as command

    command()


if __name__ == "__main__":
    main()
