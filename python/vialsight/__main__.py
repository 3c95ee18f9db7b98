"""`python -m vialsight`: the same command line as `vialsight`."""

from vialsight.cli import main

if __name__ == "__main__":
    main()
