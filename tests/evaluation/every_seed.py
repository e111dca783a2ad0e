"""Many made-up cases in one test: a case takes a millisecond, a test of its own three."""

from collections.abc import Callable


def every_seed(count: int) -> Callable[[Callable[[int], None]], Callable[[], None]]:
    """Make a check of one seed a test of the seeds 0 to count - 1; a failure names its seed."""

    def decorate(check: Callable[[int], None]) -> Callable[[], None]:
        def test() -> None:
            for seed in range(count):
                try:
                    check(seed)
                except Exception as error:
                    error.add_note(f"in {check.__name__}, seed {seed} of {count}")
                    raise

        test.__doc__ = check.__doc__
        return test

    return decorate
