"""Commands that answer over HTTP: serve, explore."""

import os
from pathlib import Path
from typing import Annotated

from prime.arguments import Above, Accelerator, Count, File, Folder, ModelPlace, Root, Threads, about, whole
from prime.commands.shared import say, set_threads
from prime.devices import device_of
from prime.errors import InputError
from prime.extras import need

TOKEN = "PRIME_TOKEN"
SHORTEST_TOKEN = 16  # letters
PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def serve(
    *,
    model: ModelPlace,
    host: Annotated[
        str, about("Address to listen at; any but this machine's own needs a token.", "HOST")
    ] = "127.0.0.1",
    port: Annotated[int, whole(0, 65535), about("0 takes a free one.")] = 8000,
    token_file: Annotated[
        File | None, about(f"Holds the token that requests must bring (else ${TOKEN}, else none).")
    ] = None,
    cohort: Annotated[
        Path | None, about("Says how uploaded files are read; only its options count.", "COHORT.yaml")
    ] = None,
    body: Annotated[Above, about("Megabytes of a request at most.", "MB")] = 16.0,
    seconds: Annotated[Above, about("For reading a request, and again for its answer.", "S")] = 30.0,
    workers: Annotated[Count, about("Requests computed at once.")] = 1,
    waiting: Annotated[int, whole(0), about("Requests that may wait; more are told to come back.")] = 64,
    patients: Annotated[Count, about("Of a request at most.")] = 1000,
    root: Root = None,
    threads: Threads = None,
    accelerator: Accelerator = "auto",
) -> None:
    """Answer requests for predictions over HTTP, as JSON."""
    need("prime serve", "serve", *PACKAGES)
    set_threads(threads)
    from prime.cohort.config import load_cohort
    from prime.predict.model_folder import load_model
    from prime.serve.app import Service, build_app
    from prime.serve.guard import LOOPBACK
    from prime.serve.limits import MEGABYTE, Limits
    from prime.serve.run import address, is_loopback, listen, run
    from prime.serve.trace import caching_nowhere
    from prime.share.finding import find_model

    token = _token(token_file)
    if token is None and not is_loopback(host):
        raise InputError(f"--host {host}: others can reach it; give a token with --token-file or ${TOKEN}")
    template = None if cohort is None else load_cohort(cohort, root)
    limits = Limits(int(body * MEGABYTE), seconds, workers, waiting, patients)
    hosts = LOOPBACK if is_loopback(host) else None
    loaded, device = load_model(find_model(model)), device_of(accelerator)
    with listen(host, port) as listening, caching_nowhere():
        app = build_app(Service(loaded, device, limits, template, token, hosts, say))
        say(f"serving {model} at {address(listening)}; Ctrl-C or SIGTERM ends it")
        run(app, listening, limits)
    say("stopped")


def _token(file: Path | None) -> str | None:
    """The token of a file or of the environment. Raises InputError for one that is too short."""
    if file is None:
        token, where = os.environ.get(TOKEN), f"${TOKEN}"
    else:
        from prime.files import read_text

        token, where = read_text(file, "--token-file").strip(), f"--token-file {file}"
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or " " in token):
        raise InputError(f"{where}: give {SHORTEST_TOKEN} letters and digits or more, without blanks")
    return token


def explore(
    what: Annotated[
        str, about("Folder of prime fit or of prime pretrain, or a model on the hub.", "MODEL|RUN")
    ],
    /,
    *,
    cohort: Annotated[Path, about("The patients.", "COHORT.yaml")],
    slides: Annotated[Path | None, about("Folder of the slides, to be shown under their maps.")] = None,
    umap: Annotated[bool, about("Lay the map out by UMAP as well.")] = False,
    port: Annotated[int, whole(0, 65535), about("0 takes a free one.")] = 0,
    root: Root = None,
    store: Annotated[Folder | None, about("Where the cohort is packed.")] = None,
    threads: Threads = None,
    accelerator: Accelerator = "auto",
) -> None:
    """Look at a cohort and its patients in a browser, on this machine alone."""
    need("prime explore", "serve", *PACKAGES)
    if umap:
        need("prime explore --umap", "explore", "umap")
    set_threads(threads)
    import secrets

    from prime.cohort.config import load_cohort
    from prime.commands.shared import open_cohort_store
    from prime.explore.app import LIMITS, build_app
    from prime.explore.cohort import explored
    from prime.explore.prepare import open_any
    from prime.explore.slide_pictures import SlidePictures
    from prime.serve.run import address, listen, run
    from prime.share.finding import find_model

    pictures = None if slides is None else SlidePictures(slides)
    device, config = device_of(accelerator), load_cohort(cohort, root)
    checkpoint, model = open_any(find_model(what))  # before any packing
    if model is not None:
        config = config.with_vocabularies(model.description.feature_names)
    found = explored(config, open_cohort_store(config, store), checkpoint, model, device, umap)
    token = secrets.token_urlsafe(24)
    with listen("127.0.0.1", port) as listening:
        app = build_app(found, token, lambda line: say(line) if line.startswith("fault") else None, pictures)
        say("open this address in a browser of this machine; Ctrl-C ends it")
        print(f"{address(listening)}/{token}/", flush=True)
        run(app, listening, LIMITS)
