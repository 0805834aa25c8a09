"""The command `tffd`, from a checkout: `python run.py --help`. It is no module of the installed library."""

from tffd.command import main

if __name__ == "__main__":
    main()
