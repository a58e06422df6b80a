"""``python -m geodl_lab`` is the command ``geodl``."""

from geodl_lab.cli import main

if __name__ == "__main__":
    main()
