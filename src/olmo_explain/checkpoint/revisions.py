"""What became of a head from one revision of a repository on the hub to the next. No torch.

Of each revision the head's own slices are read, by byte ranges: of the 7B 3 MiB for q, k and v. The
128 columns of o_proj are as large and lie in all of its rows, so 32 MiB travel for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

from olmo_explain.checkpoint.config import OlmoConfig, read_config, whole_number
from olmo_explain.checkpoint.distances import distance
from olmo_explain.checkpoint.fields import BYTES_PER_PARAMETER
from olmo_explain.checkpoint.heads import PROJECTIONS, Stored, head_slices, read_slices
from olmo_explain.checkpoint.hub import COMMIT, HubSource
from olmo_explain.checkpoint.kept import KeptHeads
from olmo_explain.checkpoint.norms import frobenius
from olmo_explain.checkpoint.safetensors import Checkpoint
from olmo_explain.checkpoint.source import ModelLike, resolve
from olmo_explain.errors import (
    CheckpointError,
    ConfigError,
    ModelNotFound,
    OutOfRange,
    RemoteError,
    UsageError,
)
from olmo_explain.waiting import progress
from olmo_explain.words import quoted, shape

AT_ONCE = 4  # revisions: as many as hide a round trip, few enough for a hub that serves everybody
CHEAP = ("q_proj", "k_proj", "v_proj")
MISSING = ModelNotFound, ConfigError, CheckpointError, OutOfRange  # or damaged, or not this head
MOST_NAMES = 100_000  # what is given may have no end
A_PROJECTION = f"Choose of {', '.join(PROJECTIONS)}"
A_REPOSITORY = "Name a repository on the hub, as allenai/Olmo-3-7B-Instruct"


@dataclass(frozen=True)
class HeadMoment:
    """A head at one revision, which stood for `commit`: its norms, by projection, and the cosine of
    each slice and the first revision's."""

    revision: str
    commit: str
    norms: dict[str, float]
    cosine_to_first: dict[str, float]

    @property
    def step(self) -> int | None:
        """The training step, where the revision's name ends in one."""
        found = re.search(r"step[-_]?(\d{1,15})(?!.*step)", self.revision)
        return int(found[1]) if found else None


@dataclass(frozen=True)
class HeadHistory:
    """A head at the `revisions` of a repository, in the order that was asked for.

    `skipped`: those that could not be read, each with the reason. `bytes_fetched`: what has come of
    weights this time, without the `header_bytes`; what was kept from before costs none.
    """

    model: str
    layer: int
    head: int
    revisions: list[HeadMoment]
    skipped: dict[str, str]
    bytes_fetched: int
    header_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """As `olmo-explain history --json` prints it."""
        return {
            **vars(self),
            "revisions": [dict(vars(moment)) for moment in self.revisions],
            "skipped": [{"revision": name, "why": why} for name, why in self.skipped.items()],
        }


class _Read(NamedTuple):
    """What reading a commit has cost, and why it gave nothing, if it gave nothing."""

    bytes_fetched: int
    header_bytes: int
    why_not: str | None = None


@dataclass(frozen=True)
class HistoryPlan:
    """Which commits are to be read; `bytes_to_read` of weights, what is kept from before left out.

    `revisions`: their names with the commits that they stood for. Nothing has been read yet.
    """

    source: HubSource
    layer: int
    head: int
    sizes: dict[str, int]
    revisions: list[tuple[str, str]]
    skipped: dict[str, str]
    kept: KeptHeads

    @cached_property
    def to_read(self) -> dict[str, list[str]]:
        """The projections that are not kept, by commit."""
        lacking = {
            commit: [name for name in self.sizes if self.kept.find(commit, name) is None]
            for _, commit in self.revisions
        }
        return {commit: names for commit, names in lacking.items() if names}

    @property
    def bytes_to_read(self) -> int:
        return sum(map(self._size, self.to_read))

    def _size(self, commit: str) -> int:
        return sum(self.sizes[name] for name in self.to_read[commit])

    def read(self) -> HeadHistory:
        """Reads what is not kept, several revisions at a time, and looks at all of them.

        RemoteError when the hub can no longer be read. What has come until then, or until an
        interrupt, is kept.
        """
        costs = dict(zip(self.to_read, self._read_all(), strict=True))
        skipped, moments = dict(self.skipped), []
        first: dict[str, Stored] | None = None
        for revision, commit in self.revisions:
            why = costs[commit].why_not if commit in costs else None
            found = {} if why else {name: self.kept.find(commit, name) for name in self.sizes}
            slices = {name: stored for name, stored in found.items() if stored is not None}
            first = first or slices
            if not why and len(slices) < len(self.sizes):
                why = "What was kept of it is gone"
            why = why or _other_shape(slices, first)
            if why:
                skipped[revision] = why
                continue
            moments.append(_moment(revision, commit, slices, first))
        if not moments:
            name, why = next(iter(skipped.items()))
            raise CheckpointError(
                f"None of {len(skipped):,} revisions of {self.source.repository} can be read, not "
                f"{name}: {why}",
                "Name others",
            )
        return HeadHistory(
            self.source.name,
            self.layer,
            self.head,
            moments,
            skipped,
            sum(cost.bytes_fetched for cost in costs.values()),
            sum(cost.header_bytes for cost in costs.values()),
        )

    def _read_all(self) -> Iterator[_Read]:
        pool = ThreadPoolExecutor(AT_ONCE)
        doing = f"Head {self.head} of layer {self.layer}, {len(self.to_read):,} revisions"
        try:
            with progress(doing, self.bytes_to_read, unit="bytes") as advance:
                futures = [pool.submit(self._read, commit) for commit in self.to_read]
                for commit, future in zip(self.to_read, futures, strict=True):
                    yield future.result()
                    advance(self._size(commit))
        except RemoteError as error:
            raise RemoteError(
                error.wrong, f"{error.todo}; what has come is kept, and not read again"
            ) from error
        finally:  # on Ctrl-C nobody waits for those that are under way
            pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, commit: str) -> _Read:
        """Reads and keeps what is lacking of a commit, one projection after the other."""
        name = next(name for name, other in self.revisions if other == commit)
        checkpoint, why = None, None
        try:
            checkpoint = Checkpoint(self.source.pinned(name, commit))
            for projection in self.to_read[commit]:
                _, stored = read_slices(checkpoint, self.layer, self.head, [projection])
                self.kept.keep(commit, projection, stored[projection])
        except MISSING as error:
            why = error.wrong
        if checkpoint is None:
            return _Read(0, 0, why)
        return _Read(checkpoint.bytes_fetched, checkpoint.header_bytes, why)


def head_history(
    model: ModelLike,
    layer: int,
    head: int,
    revisions: str | Sequence[str],
    every: int = 1,
    projections: Sequence[str] = CHEAP,
) -> HeadHistory:
    """One head at many revisions of a repository on the hub, without downloading any of them.

    `revisions`: names of branches and tags, commits, and patterns such as "stage1-step*", whose
    matches come in the order of the numbers in them; `every`: only every n-th of all these. Each
    stands for one commit throughout, and of each commit the slices of `projections` are read, once:
    they are kept in the user's cache directory (`forget_heads` clears it). What is missing is
    skipped, and said. Shows its progress on stderr when that takes long and a terminal is there to
    see it.

    UsageError for a `model` that is no repository and a pattern that nothing matches, OutOfRange
    for a head that it does not have, RemoteError when the hub cannot be read.

    >>> found = head_history("allenai/Olmo-3-1025-7B", 17, 27, "stage1-step*", every=20)
    >>> found.revisions[0].cosine_to_first["q_proj"]
    1.0
    """
    return plan_history(model, layer, head, revisions, every, projections).read()


def plan_history(
    model: ModelLike,
    layer: int,
    head: int,
    revisions: str | Sequence[str],
    every: int = 1,
    projections: Sequence[str] = CHEAP,
) -> HistoryPlan:
    """What `head_history` would read: resolves every revision to its commit, reads no weights."""
    source = resolve(model)
    if not isinstance(source, HubSource):
        raise UsageError(f"{source.name} has no revisions to choose from", A_REPOSITORY)
    every = whole_number("every", every, least=1)
    asked = _names(revisions, "names no revision", "Give names, or a pattern")
    some = _names(projections, "is no projection", A_PROJECTION)
    if unknown := [name for name in some if name not in PROJECTIONS]:
        raise UsageError(f"{quoted(unknown[0])} is no projection", A_PROJECTION)
    known = {} if all(map(COMMIT.fullmatch, asked)) else source.revisions()
    chosen = list(dict.fromkeys(name for it in asked for name in _matching(it, known)))[::every]
    commits = {name: name if COMMIT.fullmatch(name) else known.get(name) for name in chosen}
    sizes = _sizes(read_config(source), layer, head, some)
    return HistoryPlan(
        source,
        layer,
        head,
        sizes,
        [(name, commit) for name, commit in commits.items() if commit],
        {name: "No branch, tag or commit of that name" for name, it in commits.items() if not it},
        KeptHeads(source.repository, layer, head),
    )


def _names(given: str | Sequence[str], wrong: str, todo: str) -> list[str]:
    """One name or several; UsageError for what is none."""
    names = [given] if isinstance(given, str) else given
    if isinstance(names, Iterable) and not isinstance(names, dict):
        names = list(islice(names, MOST_NAMES))
        if names and all(isinstance(name, str) and name for name in names):
            return names
    raise UsageError(f"{quoted(given)} {wrong}", todo)


def _matching(asked: str, known: dict[str, str]) -> list[str]:
    """The revisions that a pattern names, in the order of the numbers in them; a name as it is."""
    if not re.search(r"[*?\[]", asked):
        return [asked]
    if found := [name for name in known if fnmatchcase(name, asked)]:
        return sorted(found, key=_by_numbers)
    some = ", ".join(sorted(known, key=_by_numbers)[:3])
    raise UsageError(
        f"None of its {len(known):,} branches and tags matches {quoted(asked)}",
        f"Choose of {some}{', …' if len(known) > 3 else ''}",
    )


def _by_numbers(name: str) -> list[Any]:
    """step20 before step100: texts and numbers take turns in it."""
    return [int(it) if it.isdecimal() else it for it in re.split(r"([0-9]{1,18})", name)]


def _sizes(config: OlmoConfig, layer: int, head: int, projections: Sequence[str]) -> dict[str, int]:
    """Bytes that travel for each slice: the head's rows; of columns, what lies between them too."""
    item, sizes = BYTES_PER_PARAMETER[config.dtype], {}
    for name, part in head_slices(config, layer, head).items():
        rows, cols = part.shape
        width = config.num_attention_heads * config.head_dim
        sizes[name] = item * (rows * cols if part.axis == 0 else (rows - 1) * width + cols)
    return {name: sizes[name] for name in PROJECTIONS if name in projections}


def _other_shape(slices: dict[str, Stored], first: dict[str, Stored]) -> str | None:
    for name, stored in slices.items():
        if stored.bits.shape != first[name].bits.shape:
            shapes = shape(stored.bits.shape), shape(first[name].bits.shape)
            return f"Its slice of {name} is {shapes[0]}, and the first revision's is {shapes[1]}"
    return None


def _moment(
    revision: str, commit: str, slices: dict[str, Stored], first: dict[str, Stored]
) -> HeadMoment:
    return HeadMoment(
        revision,
        commit,
        {name: frobenius(*stored) for name, stored in slices.items()},
        {name: distance(first[name], stored).cosine for name, stored in slices.items()},
    )
