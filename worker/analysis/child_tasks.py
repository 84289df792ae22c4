"""What runs inside a child: fetch a source into scratch, and analyse the scratch tree.

These functions are all that meets hostile input. They speak plain JSON with the worker and know no database, no
queue and no secret but a repository's token, which comes with the request and stays in this process.
"""

import base64
import gc
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from collectors.engine.analysis import Options, analyse
from collectors.engine.discovery import discover
from collectors.engine.file_facts_cache import FileFactsCache
from collectors.source.source_tree import load_tree
from domain.errors import InvalidInputError, Vibe8Error
from domain.ports import PREVIOUS_RESULT
from domain.sources import FetchedSource
from domain.text import JSON, one_line
from infrastructure.child_process.wire_protocol import ATTACHMENT
from infrastructure.sources.git.clone import directory_size, fetch_repository
from infrastructure.sources.git.history import GitHistory
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from infrastructure.sources.uploads.upload import fetch_upload
from worker.analysis import facts_wire_format

PROGRESS_SECONDS = 0.2
"""The least time between two messages about progress."""

Tell = Callable[[Mapping[str, JSON]], None]

discover()  # while the zygote preloads this module, so that no child imports the tools again


def warm_up(scratch: Path) -> None:
    """Analyse a file of our own, so that no child is the first to do anything: each would be, being forked from here.

    The interpreter has then seen what it can take short cuts in, and the tools have made their tables. Never raises.
    """
    content = base64.b64encode(Path(__file__).read_bytes()).decode()
    source = {"kind": "upload", "filename": "sample.py", "file_data": content}
    with suppress(OSError, Vibe8Error), tempfile.TemporaryDirectory(prefix="warm-up-", dir=scratch) as directory:
        request = {"scratch": directory, "source": source, "limits": SourceLimits().to_json()}
        before = fetch(request, lambda _: None)
        collect({**request, "processes": 0, "collector_timeout": 10.0, PREVIOUS_RESULT: before}, lambda _: None)
    gc.enable()


def fetch(request: Mapping[str, JSON], tell: Tell) -> Mapping[str, JSON]:
    """Bring the request's source into its scratch directory; answers `FetchedSource.to_json()` and its `bytes` there.

    Raises InvalidInputError, PermanentError or TransientError with one line for the submitter.
    """
    tell({"stage": "fetching", "progress": 0})
    scratch = SourceLayout(Path(request["scratch"]))
    limits = SourceLimits.from_json(request["limits"])
    source = request["source"]
    if source["kind"] == "upload":
        fetched = fetch_upload(source["filename"], source["file_data"], scratch, limits)
    elif source["kind"] == "repository":
        fetched = fetch_repository(
            source["url"],
            source["branch"],
            source["token"],
            scratch,
            limits,
            ca_bundle=Path(source["ca_bundle"]) if source["ca_bundle"] else None,
            allowed_hosts=source["allowed_hosts"],
            on_progress=lambda percent: tell({"stage": "fetching", "progress": percent // 10}),
        )
    else:
        fetched = fetch_directory(Path(source["path"]), scratch, limits)
    return {**fetched.to_json(), "bytes": directory_size(scratch.root)}


def collect(request: Mapping[str, JSON], tell: Tell) -> Mapping[str, JSON]:
    """Run the ten collectors over the scratch tree; answers the fields of `domain.metrics.report.Analysis`.

    Where an attachment says what is remembered of the files (`worker.analysis.facts_wire_format`), what was found out
    is attached.
    Raises InvalidInputError where there is no Python file at all.
    """
    emit = _progress(tell)
    emit("collecting", 0.0)
    gc.disable()  # this process is for one analysis: nothing of what it makes is garbage before its end
    scratch = SourceLayout(Path(request["scratch"]))
    fetched = FetchedSource.from_json(request[PREVIOUS_RESULT])
    history = GitHistory(scratch.repository) if fetched.has_history else None
    tree = load_tree(scratch.tree, manifests=scratch.manifests, history=history)
    if not tree.entries:
        raise InvalidInputError(f"no Python file to analyse{_why_none(fetched)}")
    options = Options(processes=request["processes"], collector_timeout=request["collector_timeout"])
    if ATTACHMENT not in request:
        return analyse(tree, fetched, options, emit).document()
    cache = FileFactsCache(facts_wire_format.unpack(request[ATTACHMENT]))
    analysis = analyse(tree, fetched, options, emit, cache)
    return {**analysis.document(), ATTACHMENT: facts_wire_format.pack(cache.new_entries)}


def _why_none(fetched: FetchedSource) -> str:
    if not fetched.skipped:
        return ""
    first = fetched.skipped[0]
    return f" ({fetched.skipped_total} skipped, such as {one_line(first.path, 200)}: {first.reason})"


def _progress(tell: Tell) -> Callable[[str, float], None]:
    """Stage and share as a percentage of the whole job: fetching ends at 10, collecting at 90."""
    last = ("", 0.0)

    def emit(stage: str, share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if stage != last[0] or now - last[1] >= PROGRESS_SECONDS:
            last = (stage, now)
            tell({"stage": stage, "progress": round(10 + 80 * share) if stage == "collecting" else 90})

    return emit
