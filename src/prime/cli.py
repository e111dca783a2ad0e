"""The command line: which commands there are, and how one ends. What each does is in `prime.commands`."""

import errno
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, UnusedCliTokensError
from cyclopts.help import format_usage

from prime import __version__
from prime.commands.audit import audit
from prime.commands.cohort import check, init, pack, simulate
from prime.commands.prediction import config, demo, embed, fit, predict
from prime.commands.serving import explore, serve
from prime.commands.shared import say
from prime.commands.sharing import push
from prime.commands.study import methods, report, study
from prime.commands.training import evaluate, pretrain
from prime.commands.validation import recalibrate, validate
from prime.encode.gdc.command import build, fetch, query
from prime.encode.reports.command import reports
from prime.encode.rna.command import rna
from prime.encode.slides.command import slides
from prime.errors import InputError, bounded, first_line
from prime.files import writing_below
from prime.libraries import quiet_libraries
from prime.plain_help import PlainHelp
from prime.standard_output import patient_streams

DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EMFILE)
OUT_OF_MEMORY = re.compile("out of memory|allocate memory", re.IGNORECASE)  # in torch's words
HELP = ("--help", "-h")
LAST = 100  # in the list of commands
PLAIN = Parameter(  # options are words alone: no --no-NAME, no JSON; lists are extended, else the last counts
    negative=(), consume_multiple=(1, None), allow_repeating=True, json_list=False, json_dict=False
)


def build_app() -> App:
    """The whole command line. A command is a function, and its parameters are the arguments."""
    app = App(
        "prime",
        help="Multimodal pretraining and prognosis for cohorts with missing modalities.",
        version=f"prime {__version__}",
        version_flags="--version",
        help_flags=HELP,
        help_format="plaintext",
        help_formatter=PlainHelp(),
        default_parameter=PLAIN,
    )
    _add(
        app,
        init,
        check,
        pack,
        simulate,
        pretrain,
        evaluate,
        fit,
        predict,
        embed,
        validate,
        recalibrate,
        push,
        serve,
        explore,
    )
    _add(app, demo, config, study, methods, report, audit)
    encode = App("encode", help="Slides, RNA-seq or reports to feature files.", sort_key=LAST)
    gdc = App("gdc", help="TCGA from the Genomic Data Commons: list, fetch, align.", sort_key=LAST)
    _add(encode, slides, rna, reports)
    _add(gdc, query, fetch, build)
    app.command(encode)
    app.command(gdc)
    return app


def _add(app: App, *commands: Callable[..., int | None]) -> None:
    """Add commands; the help lists them in this order, after those that are there."""
    for command in commands:
        app.command(command, sort_key=len(list(app)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 1 (a part failed), 2 (bad input), 130 (Ctrl-C)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with patient_streams():
            return _answered(words)
    except OSError as error:  # what was left to print could not be printed
        say(f"error: {error.filename}: {error.strerror}")
        return 2


def _answered(words: Sequence[str]) -> int:
    """Run one command; what the user can mend is said in one line."""
    try:
        return run(words)
    except CycloptsError as error:
        say(f"error: {bounded(_message(error))}")
        say(usage(words))
    except InputError as error:
        say(f"error: {bounded(str(error))}")
    except OSError as error:
        if error.filename is None and error.errno not in DISK_TROUBLE:
            raise
        name = "" if error.filename is None else f"{error.filename}: "
        say(f"error: {bounded(name)}{error.strerror or first_line(error)}")
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not OUT_OF_MEMORY.search(str(error)):
            raise
        say(f"error: not enough memory ({bounded(first_line(error))}); take a smaller network or batch")
    except KeyboardInterrupt:
        say("stopped; the same command goes on where it can")
        return 130
    return 2


def run(words: Sequence[str]) -> int:
    """Run one command and return its exit status. Raises CycloptsError for words that make no command."""
    app = build_app()
    command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    if command == app.help_print and not set(HELP) & set(words):
        raise CycloptsError(f"a COMMAND is missing: {', '.join(_below(app, words))}")
    quiet_libraries()
    with writing_below(*output_folders(bound.arguments.get("out"))):
        return command(*bound.args, **bound.kwargs) or 0


def output_folders(out: object) -> list[Path]:
    """Where a command with this `--out` may write: in the folder, or beside the file; else anywhere."""
    if not isinstance(out, Path):
        return []
    return [out.parent if out.suffix else out]


def _below(app: App, words: Sequence[str]) -> list[str]:
    _, path, _ = app.parse_commands(words)
    return [name for name in path[-1] if not name.startswith("-")]


def usage(words: Sequence[str]) -> str:
    """The usage line of the command that the words name, as far as they name one."""
    app = build_app()
    chain, path, _ = app.parse_commands(words)
    with app.app_stack(path):
        return f"usage: {format_usage(app, chain, path).plain.strip()}"


def _message(error: CycloptsError) -> str:
    """What is wrong, in one line."""
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        return f"{error.keyword} needs a value" if error.keyword else f"{error.argument.name} is missing"
    if isinstance(error, UnusedCliTokensError):
        return f"too many arguments: {' '.join(error.unused_tokens or ())}"
    text = " ".join(str(error).split())
    return text[:1].lower() + text[1:]
