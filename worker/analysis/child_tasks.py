"""Tasks that run inside a child process: fetch a source into the scratch directory, and analyse the tree there.

Only these functions handle hostile input. They exchange plain JSON with the worker. They have no access to the database
or the queue, and to no secret but the repository's token, which is part of the request.
"""

import base64
import gc
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import infrastructure.sources.git.gitpython  # noqa: F401 - in the zygote, so that no child has to
from collectors.engine.analysis import Options, analyse
from collectors.engine.discovery import declarations, discover
from collectors.engine.file_facts_cache import FileFactsCache
from collectors.engine.tree_collection import Answers
from collectors.source.source_tree import SourceTree, load_tree
from domain.errors import InvalidInputError, Vibe8Error
from domain.findings.measured_run import iter_files
from domain.metrics.packages import LOOKS_UP_PACKAGES, MAX_REPORTED_NAMES, PACKAGE_LISTS, PACKAGE_NAMES, declared_lists
from domain.ports import PREVIOUS_RESULT
from domain.selection import SELECTION, Selection
from domain.sources import FetchedSource
from domain.text import JSON, one_line
from infrastructure.child_process.process_control import SystemProcessControl
from infrastructure.child_process.wire_protocol import ATTACHMENT, ITEMS, SENDS_ITEMS
from infrastructure.sources.git.added_lines import ADDED_LINES, ADDED_SINCE, count_added_lines
from infrastructure.sources.git.clone import directory_size, fetch_repository
from infrastructure.sources.git.heads import list_heads
from infrastructure.sources.git.history import GitHistory
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from infrastructure.sources.uploads.upload import fetch_upload
from worker.analysis.facts import wire_format

PROGRESS_SECONDS = 0.2
"""Minimum time between two progress reports of one stage."""

ReportProgress = Callable[[Mapping[str, JSON]], None]

discover()  # imports the collectors when the zygote preloads this module, so that no child has to


def warm_up(scratch: Path) -> None:
    """Analyse a file of this package in the zygote, before it forks children.

    The children then inherit the interpreter's specialised bytecode and the tools' tables. A failure of the file system
    or of the analysis is ignored, because it costs only time. Garbage collection is enabled again, which `collect`
    disables.
    """
    content = base64.b64encode(Path(__file__).read_bytes()).decode()
    source = {"kind": "upload", "filename": "sample.py", "file_data": content}
    with suppress(OSError, Vibe8Error), tempfile.TemporaryDirectory(prefix="warm-up-", dir=scratch) as directory:
        request = {"scratch": directory, "source": source, "limits": SourceLimits().to_json()}
        fetched = fetch(request, lambda _: None)
        collect({**request, "processes": 0, "collector_timeout": 10.0, PREVIOUS_RESULT: fetched}, lambda _: None)
    gc.enable()


def fetch(request: Mapping[str, JSON], report: ReportProgress) -> Mapping[str, JSON]:
    """Fetch the selected files of the request's source into its scratch directory.

    Returns `FetchedSource.to_json()`, and the size of the scratch directory as `bytes`. Raises InvalidInputError,
    PermanentError or TransientError, each with one line for the submitter.
    """
    report({"stage": "fetching", "progress": 0})
    scratch = SourceLayout(Path(request["scratch"]))
    limits = SourceLimits.from_json(request["limits"])
    source = request["source"]
    selection = Selection.from_json(source.get(SELECTION, {}))
    if source["kind"] == "upload":
        fetched = fetch_upload(source["filename"], source["file_data"], scratch, limits, selection)
    elif source["kind"] == "repository":
        fetched = fetch_repository(
            source["url"],
            source["branch"],
            source["token"],
            scratch,
            limits,
            ca_bundle=Path(source["ca_bundle"]) if source["ca_bundle"] else None,
            allowed_hosts=source["allowed_hosts"],
            on_progress=lambda percent: report({"stage": "fetching", "progress": percent // 10}),
            selection=selection,
        )
    else:
        fetched = fetch_directory(Path(source["path"]), scratch, limits, selection)
    return {**fetched.to_json(), "bytes": directory_size(scratch.root)}


def heads(request: Mapping[str, JSON], report: ReportProgress) -> Mapping[str, JSON]:  # noqa: ARG001 - an entry's form
    """Ask a git host for the heads of a repository's branches: `{"default_branch": NAME, "commits": {BRANCH: COMMIT}}`.

    Raises as `fetch` does.
    """
    source = request["source"]
    found = list_heads(
        source["url"],
        source["branches"],
        source["token"],
        SourceLayout(Path(request["scratch"])).repository,
        ca_bundle=Path(source["ca_bundle"]) if source["ca_bundle"] else None,
        allowed_hosts=source["allowed_hosts"],
    )
    return {"default_branch": found.default_branch, "commits": found.commits}


def collect(request: Mapping[str, JSON], report: ReportProgress) -> Mapping[str, JSON]:
    """Run the requested collectors over the scratch tree, and return the fields of `domain.metrics.report.Analysis`.

    `PACKAGE_LISTS` is added. Packages that the tree imports are reported when they are found, in messages of their own,
    unless they are not looked up; findings likewise, if the request says so. If cached facts are attached to the
    request (`worker.analysis.facts.wire_format`), the newly found ones are attached to the result. Raises
    InvalidInputError for a tree without a Python file.
    """
    reports = CollectReports(report)
    reports.stage("collecting", 0.0)
    gc.disable()  # the process ends with this analysis, so collecting garbage would only cost time
    fetched = FetchedSource.from_json(request[PREVIOUS_RESULT])
    return collect_tree(open_tree(request, fetched), fetched, request, reports)


def open_tree(request: Mapping[str, JSON], fetched: FetchedSource) -> SourceTree:
    """Return the tree that was fetched into scratch. Raises InvalidInputError where it has no Python file."""
    scratch = SourceLayout(Path(request["scratch"]))
    processes = request.get("processes", 1)
    history = GitHistory(scratch.repository, processes=processes) if fetched.has_history else None
    tree = load_tree(
        scratch.tree,
        process_control=SystemProcessControl(),
        manifests=scratch.manifests,
        history=history,
        selection=Selection.from_json(request.get(SELECTION, {})),
    )
    if not tree.entries:
        raise InvalidInputError(f"no Python file to analyse{_skipped_note(fetched)}")
    return tree


def collect_tree(
    tree: SourceTree,
    fetched: FetchedSource,
    request: Mapping[str, JSON],
    reports: "CollectReports",
    answers: Answers | None = None,
) -> Mapping[str, JSON]:
    """Run the collectors over a tree, as `collect` does. `answers` are those of tools that were asked already."""
    options = Options(
        processes=request["processes"],
        collector_timeout=request["collector_timeout"],
        on_packages=reports.packages if request.get(LOOKS_UP_PACKAGES, True) else None,
        on_findings=reports.findings if request.get(SENDS_ITEMS) else None,
        answers=answers or {},
    )
    cache = FileFactsCache(wire_format.unpack(request[ATTACHMENT]())) if ATTACHMENT in request else None
    analysis = analyse(tree, fetched, options, reports.stage, cache)
    result = {**analysis.document(), PACKAGE_LISTS: declared_lists(declarations())}
    if fetched.has_history and request.get(ADDED_SINCE):
        history = GitHistory(SourceLayout(Path(request["scratch"])).repository)
        roles = {node["path"]: node["role"] for node in iter_files(analysis.file_tree)}
        result[ADDED_LINES] = count_added_lines(history, request[ADDED_SINCE], roles)
    return result if cache is None else {**result, ATTACHMENT: wire_format.pack(cache.new_entries)}


def _skipped_note(fetched: FetchedSource) -> str:
    if not fetched.skipped:
        return ""
    first = fetched.skipped[0]
    return f" ({fetched.skipped_total} skipped, such as {one_line(first.path, 200)}: {first.reason})"


class CollectReports:
    """Reports of one analysis: its stages, its findings, and the packages that its manifests declare."""

    def __init__(self, report: ReportProgress) -> None:
        self._report = report
        self._last = ("", 0.0)

    def stage(self, stage: str, share: float) -> None:
        """Report a stage and its share (0..1) as a percentage of the whole job.

        Fetching ends at 10 %, collecting at 90 %.
        """
        now = time.monotonic()
        if stage != self._last[0] or now - self._last[1] >= PROGRESS_SECONDS:
            self._last = (stage, now)
            self._report({"stage": stage, "progress": round(10 + 80 * share) if stage == "collecting" else 90})

    def findings(self, items: Sequence[JSON]) -> None:
        """Report a part of the list of findings."""
        self._report({ITEMS: items})

    def packages(self, names: Sequence[str]) -> None:
        """Report package names."""
        self._report({PACKAGE_NAMES: list(names[:MAX_REPORTED_NAMES])})
