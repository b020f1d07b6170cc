"""Messages to the broker the settings name, with a bar on a terminal."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from precursor import parts
from precursor.settings import Settings

if TYPE_CHECKING:
    from simulators.gateway import Message
    from simulators.publisher import Progress as SendProgress
    from simulators.publisher import Published

__all__ = ["bar", "publish_messages"]


def publish_messages(
    settings: Settings,
    messages: "Iterable[Message]",
    *,
    speed: float | None,
    rate: float | None,
) -> "Published":
    """Publish messages: at `speed` event seconds a second, `rate` messages a second at most, None: as fast as it goes.

    Raises:
        ConfigurationError: no broker is named, and none runs.
        TransientError: it does not answer.
    """
    from simulators.publisher import publish

    target = parts.reachable_broker(settings)
    with bar("publishing", "readings") as count:

        def show(progress: "SendProgress") -> None:
            count(progress.readings)

        return publish(
            messages,
            host=target.host,
            port=target.port,
            username=target.username,
            password=target.password,
            tls=target.tls_context(),
            speed=speed,
            rate=rate,
            progress=show,
            stop=threading.Event(),
            echo_topic=parts.echo_topic(settings),
        )


@contextlib.contextmanager
def bar(doing: str, what: str) -> Iterator[Callable[[int], None]]:
    """Shows on a terminal how many there are; gives the function to tell it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:,}} {what}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with shown:
        task = shown.add_task(doing, total=None)
        yield lambda count: shown.update(task, completed=count)
