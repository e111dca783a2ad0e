"""A fitted model to the model hub, without its patients, in one commit."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from prime import __version__
from prime.errors import InputError
from prime.extras import need
from prime.hub import hub_trouble
from prime.libraries import quiet_progress_bars
from prime.predict.model_folder import load_model
from prime.share.finding import HUB_NAME
from prime.share.folder import finished_card, write_folder

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def push(model_dir: Path, to: str, public: bool = False) -> str:
    """Send a model to the hub; returns the address of the commit.

    All files arrive with one commit, so a push that fails leaves the model there as it was, or an empty one.
    The token is the one that huggingface_hub finds (HF_TOKEN, or `hf auth login`).

    Args:
        model_dir: of `prime fit`, or one that `write_folder` wrote and whose card its authors finished.
        to: `owner/name`; it is made where it is not there.
        public: everybody may read it. A model that is public already takes no push without it.

    Raises:
        InputError: a damaged model, a name that is none, and whatever the hub has against it.
    """
    need("prime push", "hub", "huggingface_hub")
    if not HUB_NAME.fullmatch(to):
        raise InputError(f"--to {to}: give owner/name, as on the hub")
    quiet_progress_bars()
    from huggingface_hub import CommitOperationAdd, HfApi

    model = load_model(model_dir)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        write_folder(model, folder, card=finished_card(model, model_dir))
        files = [CommitOperationAdd(path.name, path) for path in sorted(folder.iterdir())]
        api = HfApi(library_name="prime-prognosis", library_version=__version__)
        with _said_of(to):
            _require_visibility(api, to, public)
            api.create_repo(to, private=not public, exist_ok=True)
            done = api.create_commit(to, files, commit_message=f"A model fitted with PRIME {__version__}")
    return done.commit_url


def _require_visibility(api: "HfApi", to: str, public: bool) -> None:
    """Raise InputError where a model of this name is there already and seen by others than was asked for."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        private = bool(api.model_info(to).private)
    except RepositoryNotFoundError:
        return
    if private is public:
        now, then = ("private", "make it public there first") if private else ("public", "give --public")
        raise InputError(f"--to {to}: is {now} on the hub; {then}, or name another")


@contextmanager
def _said_of(to: str) -> Generator[None]:
    """What the hub, or the way to it, has against a push, in one line."""
    from huggingface_hub.errors import LocalTokenNotFoundError

    try:
        yield
    except InputError:
        raise
    except LocalTokenNotFoundError:
        raise InputError(f"--to {to}: no token; log in (hf auth login), or set HF_TOKEN") from None
    except Exception as error:  # the hub's client raises many kinds, of several libraries
        raise InputError(f"--to {to}: not pushed ({hub_trouble(error)})") from None
