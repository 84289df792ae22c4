"""`vibe8 analyze`: run the ten collectors on this machine, without queue or database."""

from domain.text import JSON, printable
from infrastructure.child_process.zygote_process import ZygoteProcess
from infrastructure.settings import load_settings
from worker.analysis.pipeline_factory import open_pipeline
from worker.cli.exit_codes import DONE
from worker.cli.output.progress import ProgressDisplay
from worker.cli.output.results import show_result
from worker.cli.output.writer import OutputWriter
from worker.cli.source_argument import Directory, RemoteRepository, Source, parse_source, pipeline_source


async def analyze(source_text: str, branch: str | None, output: OutputWriter, zygote: ZygoteProcess) -> int:
    """Analyse the source in children of the given zygote, and print a result of the same shape as a job's."""
    settings = load_settings(need_services=False)
    source = parse_source(source_text, branch, settings)
    request = pipeline_source(source, settings)
    with ProgressDisplay(quiet=output.as_json) as display:
        async with open_pipeline(settings, zygote) as pipeline:
            analysed = await pipeline.run(request, display.on_event)
    origin = {**_describe(source), "git_branch": analysed.fetched.branch, "git_commit_sha": analysed.fetched.commit_sha}
    show_result({"job": None, "source": origin, **analysed.analysis.document()}, output)
    return DONE


def _describe(source: Source) -> dict[str, JSON]:
    if isinstance(source, RemoteRepository):
        return {"kind": "github", "git_repo_url": source.url}
    return {"kind": "directory" if isinstance(source, Directory) else "upload", "path": printable(str(source.path))}
