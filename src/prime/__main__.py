"""The command `prime`, also as `python -m prime`; an interruption is one line, during imports too."""

import signal
import sys


def main() -> int:
    """Run the command line. Returns the exit status; see `prime.cli.main`."""
    try:
        from prime.cli import main as run

        status = run()
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command goes on where it can\n")
        status = 130
    if status == 130:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left is only the end
    return status


if __name__ == "__main__":
    sys.exit(main())
