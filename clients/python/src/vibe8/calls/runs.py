"""Runs and projects: list, read whole or in parts, compare, export, pin, tag, delete; the trends of a project."""

from collections.abc import Mapping, Sequence
from typing import Any

from vibe8.models.runs import FindingPage, Insight, Result, RunComparison, RunSummary, Trend
from vibe8.protocol.endpoints import Group, Mode, call, every
from vibe8.protocol.requests import Page, Request, content, document, get, member, nothing, page, segment


class Runs(Group[Mode]):
    """The caller's runs."""

    @call
    def list(
        self,
        *,
        project: str | None = None,
        branch: str | None = None,
        tag: Sequence[str] = (),
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Request[Page[RunSummary]]:
        """Return a page of your runs, newest first; each `tag` is `category=value`, and a run has all of them."""
        wanted = page("runs", RunSummary)
        return get("/runs", wanted, project=project, branch=branch, tag=tag, limit=limit, cursor=cursor)

    iterate = every(list)
    """Yield the runs of all pages."""

    @call
    def get(self, run_id: str) -> Request[Result]:
        """Return a whole run. It may be large: up to 30 MB as JSON."""
        return get(f"/runs/{segment(run_id)}", document(Result))

    @call
    def summary(self, run_id: str) -> Request[RunSummary]:
        """Return the run without its large parts, as lists do: its verdict, quality score and numbers."""
        return get(f"/runs/{segment(run_id)}/summary", document(RunSummary))

    @call
    def file_tree(self, run_id: str) -> Request[Mapping[str, Any] | None]:
        """Return the folders and files with their metrics; None for a run without a tree."""
        return get(f"/runs/{segment(run_id)}/file-tree", member("file_tree", Mapping[str, Any] | None))

    @call
    def findings(
        self,
        run_id: str,
        *,
        state: Sequence[str] = (),
        severity: str | None = None,
        metric: Sequence[str] = (),
        path: str | None = None,
        role: Sequence[str] = (),
        limit: int | None = None,
        after: int | None = None,
    ) -> Request[FindingPage]:
        """Return a page of the run's findings.

        `severity` is the least one; `path` may have `*` and `?`; `role` is that of the file, without any: `source`.
        """
        wanted = {"state": state, "severity": severity, "metric": metric, "path": path, "role": role}
        return get(f"/runs/{segment(run_id)}/findings", document(FindingPage), **wanted, limit=limit, after=after)

    iterate_findings = every(findings, "after")
    """Yield the findings of all pages."""

    @call
    def compare(self, run_id: str, *, baseline: str | None = None) -> Request[RunComparison]:
        """Compare the run with an earlier one; without `baseline`, with its own."""
        return get(f"/runs/{segment(run_id)}/comparison", document(RunComparison), baseline=baseline)

    @call
    def history(self, run_id: str) -> Request[Mapping[str, Any] | None]:
        """Return what the git history says of the files; None for a run without one."""
        return get(f"/runs/{segment(run_id)}/history", member("history", Mapping[str, Any] | None))

    @call
    def insights(self, run_id: str) -> Request[Sequence[Insight]]:
        """Return what stands out in the run, the highest confidence first."""
        return get(f"/runs/{segment(run_id)}/insights", member("insights", Sequence[Insight]))

    @call
    def export(self, run_id: str, format: str, *, metric: str | None = None) -> Request[bytes]:  # noqa: A002
        """Return the run as a document: `sarif`, `gitlab`, `csv`, `markdown`, `html` or `badge`, among others.

        `metric` is what a badge shows.
        """
        return get(f"/runs/{segment(run_id)}/export", content, format=format, metric=metric)

    @call
    def pin(self, run_id: str) -> Request[None]:
        """Make the run the baseline of its project's later runs."""
        return Request(method="POST", path=f"/runs/{segment(run_id)}/pin", parse=nothing)

    @call
    def set_tags(self, run_id: str, tags: Mapping[str, Sequence[str]]) -> Request[Mapping[str, Sequence[str]]]:
        """Replace all tags of the run, and return them in their normal form."""
        wanted = {"tags": {category: [*of_it] for category, of_it in tags.items()}}
        parse = member("tags", Mapping[str, Sequence[str]])
        return Request(method="PUT", path=f"/runs/{segment(run_id)}/tags", parse=parse, json=wanted)

    @call
    def delete(self, run_id: str) -> Request[None]:
        """Delete the run. Jobs and later runs that refer to it stay."""
        return Request(method="DELETE", path=f"/runs/{segment(run_id)}", parse=nothing)


class Projects(Group[Mode]):
    """The projects of the caller's runs."""

    @call
    def trend(self, name: str, *, branch: str | None = None) -> Request[Trend]:
        """Return the trends of a project's numbers. `name` is its URL, name or file name, or one of its runs."""
        return get(f"/projects/{segment(name)}/trend", document(Trend), branch=branch)
