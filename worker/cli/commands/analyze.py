"""`vibe8 analyze`: run the ten collectors on this machine, without queue or database."""

import os
from dataclasses import replace

from domain.text import JSON, printable
from infrastructure.child_process.zygote_process import ZygoteProcess
from infrastructure.settings import Settings, load_settings
from infrastructure.sources.local.facts_cache import DirectoryFactsCache, user_cache_directory
from worker.analysis.pipeline import Pipeline
from worker.analysis.pipeline_factory import open_pipeline
from worker.analysis.source_facts import SourceFacts
from worker.cli.exit_codes import DONE
from worker.cli.output.progress import ProgressDisplay
from worker.cli.output.results import show_result
from worker.cli.output.writer import OutputWriter
from worker.cli.source_argument import Directory, RemoteRepository, Source, parse_source, pipeline_source

MB = 1024 * 1024


async def analyze(
    source_text: str, branch: str | None, output: OutputWriter, zygote: ZygoteProcess, *, use_cache: bool
) -> int:
    """Analyse the source in children of the given zygote, and print a result of the same shape as a job's.

    With `use_cache`, facts about files are kept in the user's cache directory for the next run.
    """
    settings = load_settings(need_services=False)
    source = parse_source(source_text, branch, settings)
    request = pipeline_source(source, settings)
    with ProgressDisplay(quiet=output.as_json) as display:
        async with open_pipeline(settings, zygote) as opened:
            pipeline = _with_facts(opened, settings) if use_cache else opened
            analysed = await pipeline.run(request, display.on_event, scope=_facts_scope(source))
    origin = {**_describe(source), "git_branch": analysed.fetched.branch, "git_commit_sha": analysed.fetched.commit_sha}
    show_result({"job": None, "source": origin, **analysed.analysis.document()}, output)
    return DONE


def _with_facts(pipeline: Pipeline, settings: Settings) -> Pipeline:
    directory = user_cache_directory(os.environ)
    if directory is None or not settings.facts_cache_mb:
        return pipeline
    cache = DirectoryFactsCache(directory, settings.facts_cache_mb * MB)
    return replace(pipeline, facts=SourceFacts(cache, pipeline.limits))


def _facts_scope(source: Source) -> tuple[str, ...]:
    """Return the kind and place of the source: facts are shared by runs of the same source only."""
    if isinstance(source, RemoteRepository):
        return "local", "github", source.url
    return "local", "directory" if isinstance(source, Directory) else "upload", str(source.path.resolve())


def _describe(source: Source) -> dict[str, JSON]:
    if isinstance(source, RemoteRepository):
        return {"kind": "github", "git_repo_url": source.url}
    return {"kind": "directory" if isinstance(source, Directory) else "upload", "path": printable(str(source.path))}
