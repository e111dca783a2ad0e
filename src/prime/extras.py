"""Which extra of the package brings what is not installed."""

from importlib.util import find_spec

from prime.errors import InputError


def need(command: str, extra: str, *modules: str) -> None:
    """Raise InputError, which names the extra, where one of these top-level modules is not installed."""
    missing = [name for name in modules if not _is_installed(name)]
    if missing:
        raise InputError(
            f"{command} needs the extra {extra}: pip install 'prime-prognosis[{extra}]' "
            f"(not installed: {', '.join(missing)})"
        )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
