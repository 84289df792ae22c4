"""`vibe8 analyze`: run the ten collectors on this machine, without queue or database."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import infrastructure.observability.light_structlog  # noqa: F401 - before any module that logs
from domain.errors import InvalidInputError
from domain.ports import ClosablePackageIndex, ProgressListener
from domain.selection import ALL, SELECTION, Selection
from domain.text import JSON, one_line, printable
from infrastructure.child_process.zygote_process import ZygoteProcess
from infrastructure.outbound.saved_answers import SavedAnswers
from infrastructure.settings import Settings, load_settings
from infrastructure.sources.git.added_lines import ADDED_SINCE
from infrastructure.sources.local.facts_cache import DirectoryFactsCache, user_cache_directory
from worker.analysis.facts.source_facts import SourceFacts
from worker.analysis.pipeline import Pipeline
from worker.analysis.pipeline_factory import open_pipeline, package_index
from worker.cli.early_zygote import early_zygote
from worker.cli.exit_codes import DONE
from worker.cli.output.writer import OutputWriter
from worker.cli.run_async import run_and_flush
from worker.cli.source_argument import Directory, RemoteRepository, Source, parse_source, pipeline_source
from worker.export.export_format import ExportFormat

if TYPE_CHECKING:
    from domain.gate.policy import Policy
    from worker.results.result_file import EarlierResult

MB = 1024 * 1024
NAME_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """Files with an earlier result and with a policy, and whether the verdict decides the exit code (`enforced`)."""

    baseline: Path | None = None
    policy: Path | None = None
    enforced: bool = False

    def read(self) -> tuple["EarlierResult | None", "Policy | None"]:
        """Read both files. Raises InvalidInputError."""
        earlier, policy = None, None
        if self.baseline is not None:
            from worker.results.result_file import read_result_file

            earlier = read_result_file(self.baseline)
        if self.policy is not None:
            from worker.results.policy_file import read_policy_file  # it imports the collectors' package

            policy = read_policy_file(self.policy)
        return earlier, policy


def run_analysis(
    source: str,
    branch: str | None,
    *,
    as_json: bool,
    use_cache: bool,
    offline: bool,
    export_format: ExportFormat | None = None,
    gate: GateOptions = GateOptions(),
    selection: Selection = ALL,
) -> int:
    """Analyse the source in children of a zygote that ends with the analysis. Returns the exit code.

    With `export_format` the result is printed in that form. Raises Vibe8Error, and KeyboardInterrupt where a signal
    ends the analysis.
    """
    if as_json and export_format is not None:
        raise InvalidInputError("--json and --format are two forms of the result; use either")
    with early_zygote.take() as zygote:
        output = OutputWriter(as_json=as_json or export_format is not None)
        analysis = analyze(
            source,
            branch,
            output,
            zygote,
            use_cache=use_cache,
            export_format=export_format,
            offline=offline,
            gate=gate,
            selection=selection,
        )
        return run_and_flush(analysis)


async def analyze(
    source_text: str,
    branch: str | None,
    output: OutputWriter,
    zygote: ZygoteProcess,
    *,
    use_cache: bool,
    export_format: ExportFormat | None,
    offline: bool,
    gate: GateOptions,
    selection: Selection,
) -> int:
    """Analyse the source in children of the given zygote, and print a result of the same shape as a job's.

    With `use_cache`, facts about files are kept in the user's cache directory for the next run, and answers of the
    package index for an hour. With `offline` no package index is asked.
    """
    settings = load_settings(need_services=False)
    source = parse_source(source_text, branch, settings)
    earlier, policy = gate.read()
    commits = [] if earlier is None or earlier.commit is None else [earlier.commit]
    request = {**pipeline_source(source, settings), ADDED_SINCE: commits, SELECTION: selection.to_json()}
    options = {**({} if policy is None else {"gate": policy.to_json()}), **selection.to_json()}
    caches = user_cache_directory(os.environ) if use_cache else None
    packages, save_answers = (None, lambda: None) if offline else _package_index(settings, caches)
    with _progress_display(output) as on_event:
        async with open_pipeline(settings, zygote, packages) as opened, _importing_review():
            pipeline = opened if caches is None else _with_facts(opened, settings, caches)
            analysed = await pipeline.run(request, on_event, scope=_facts_scope(source))
            save_answers()
    from worker.results.reviewed_analysis import local_result, measured, review_analysis

    now = datetime.now(UTC).isoformat()
    revision = {"git_branch": analysed.fetched.branch, "git_commit_sha": analysed.fetched.commit_sha}
    reviewed = review_analysis(
        analysed.analysis,
        measured(analysed.analysis, now, options),
        baseline=None if earlier is None else earlier.baseline,
        policy=policy,
        added_lines=next(iter(analysed.added_lines.values()), None),
    )
    document = local_result({**_describe(source), "created_at": now, **revision}, reviewed, options)
    _show(document, output, export_format)
    if packages is not None and not output.as_json and document["metrics"]["deps"].get("package_health"):
        output.print_line("a package index was asked for the newest versions of packages (--offline asks none)")
    if not gate.enforced:
        return DONE
    from worker.cli.output.results.verdict import report_verdict

    return report_verdict(document)


@asynccontextmanager
async def _importing_review() -> AsyncIterator[None]:
    """Import what reviews the analysis while it runs in children. That takes a tenth of the time of this start."""
    task = asyncio.create_task(asyncio.to_thread(import_module, "worker.results.reviewed_analysis"))
    try:
        yield
    finally:
        await task


@contextmanager
def _progress_display(output: OutputWriter) -> Iterator[ProgressListener]:
    """Show progress during the block. What shows nothing is not imported: rich takes a tenth of a second."""
    if output.as_json and not sys.stderr.isatty():
        yield _ignore
        return
    from worker.cli.output.progress import ProgressDisplay

    with ProgressDisplay(quiet=output.as_json) as display:
        yield display.on_event


async def _ignore(_progress: Mapping[str, JSON]) -> None:
    pass


def _show(document: Mapping[str, JSON], output: OutputWriter, export_format: ExportFormat | None) -> None:
    if export_format is not None:
        from worker.cli.output.documents import write_document
        from worker.export.formats import export_result

        write_document(export_result(document, export_format), None)
    elif output.as_json:
        output.print_json(document)
    else:
        from worker.cli.output.results.page import show_result

        show_result(document, output)


def _package_index(settings: Settings, caches: Path | None) -> tuple[ClosablePackageIndex | None, Callable[[], None]]:
    """Return the package index, with the answers of earlier runs, and a function that saves its answers."""
    index = package_index(settings)
    if index is None or caches is None:
        return index, lambda: None
    address = settings.package_index_url
    answers = SavedAnswers(index, caches / "packages", address.get_secret_value() if address else "")
    return answers, answers.save


def _with_facts(pipeline: Pipeline, settings: Settings, caches: Path) -> Pipeline:
    if not settings.facts_cache_mb:
        return pipeline
    cache = DirectoryFactsCache(caches / "facts", settings.facts_cache_mb * MB)
    return replace(pipeline, facts=SourceFacts(cache, pipeline.limits))


def _facts_scope(source: Source) -> tuple[str, ...]:
    """Return the kind and place of the source: facts are shared by runs of the same source only."""
    if isinstance(source, RemoteRepository):
        return "local", "github", source.url
    return "local", "directory" if isinstance(source, Directory) else "upload", str(source.path.resolve())


def _describe(source: Source) -> dict[str, JSON]:
    if isinstance(source, RemoteRepository):
        name = "/".join(source.url.removesuffix(".git").split("/")[-2:])
        return {"kind": "github", "git_repo_url": source.url, "project_name": name}
    return {
        "kind": "directory" if isinstance(source, Directory) else "upload",
        "path": printable(str(source.path)),
        "project_name": one_line(source.path.resolve().name, NAME_LIMIT) or None,
    }
