"""Tasks of a child that several small uploads of one user share.

First all uploads are fetched, each into a directory of its own; then write access ends, and they are collected one
after the other. The result of each is what `worker.analysis.child_tasks` returns for it alone, or `error` with the type
and text of its error. An error that says nothing about the upload itself ends the child.
"""

import gc
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from collectors.engine.discovery import discover
from collectors.engine.tree_collection import answer_trees
from collectors.source.source_tree import SourceTree
from domain.errors import PermanentError, TransientError
from domain.ports import PREVIOUS_RESULT
from domain.selection import SELECTION
from domain.sources import FetchedSource
from domain.text import JSON
from worker.analysis.child_tasks import CollectReports, ReportProgress, collect_tree, fetch, open_tree

ERROR = "error"
Document = Mapping[str, JSON]


def fetch_each(request: Document, _: ReportProgress) -> Document:
    """Fetch each of `sources` into a directory of its own below `scratch`.

    Returns `uploads`: for each source what `fetch` returns, or its error.
    """
    uploads = []
    for number, source in enumerate(request["sources"]):
        scratch = _scratch(request, number)
        Path(scratch).mkdir(mode=0o700)
        single = {"scratch": scratch, "source": source, "limits": request["limits"]}
        uploads.append(_document_or_error(partial(fetch, single, _ignore)))
    return {"uploads": uploads}


def collect_each(request: Document, report: ReportProgress) -> Document:
    """Run the collectors over each upload that was fetched; reports have its number under `upload`.

    `selections` says for each upload which ones are requested.
    Returns `uploads`: for each what `collect` returns, or its error. Tools that can answer for several trees at once
    are run before all others.
    """
    gc.disable()  # the process ends with these analyses
    fetched = request[PREVIOUS_RESULT]["uploads"]
    opened = [_open(request, number, document) for number, document in enumerate(fetched)]
    trees = {number: tree for number, tree in enumerate(opened) if isinstance(tree, SourceTree)}
    answers = dict(zip(trees, answer_trees(list(trees.values()), discover()), strict=True))

    def collect(number: int) -> Document:
        reports = CollectReports(lambda progress: report({"upload": number, **progress}))
        reports.stage("collecting", 0.0)
        single = {"processes": 0, "collector_timeout": request["collector_timeout"]}
        source = FetchedSource.from_json(fetched[number])
        return collect_tree(trees[number], source, single, reports, answers[number])

    return {
        "uploads": [
            _document_or_error(partial(collect, number)) if number in trees else document
            for number, document in enumerate(opened)
        ]
    }


def _scratch(request: Document, number: int) -> str:
    return f"{request['scratch']}/{number}"


def _ignore(_: Document) -> None:
    """Take a report that nobody needs: an upload is fetched within a millisecond."""


def _open(request: Document, number: int, fetched: Document) -> SourceTree | Document:
    """Return the tree of an upload, or why there is none."""
    if ERROR in fetched:
        return fetched
    try:
        single = {"scratch": _scratch(request, number), SELECTION: request["selections"][number]}
        return open_tree(single, FetchedSource.from_json(fetched))
    except PermanentError as error:
        return _error(error)


def _document_or_error(work: Callable[[], Document]) -> Document:
    try:
        return work()
    except (PermanentError, TransientError) as error:
        return _error(error)


def _error(error: PermanentError | TransientError) -> Document:
    return {ERROR: {"type": type(error).__name__, "message": str(error)}}
