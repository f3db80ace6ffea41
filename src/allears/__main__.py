"""`python -m allears …` is the `allears` command."""

from allears.cli import main

if __name__ == "__main__":
    main()
