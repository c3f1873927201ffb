"""The ledger of the report: every claim with its verdict, by what went wrong or by section."""

import re

import traitlets

from olmo_explain.checkpoint import ModelLike
from olmo_explain.explorers.shared import Explorer, check_text, label, public, script, style
from olmo_explain.report import SLIPS, VERDICTS, CheckedClaim, Report, remeasure
from olmo_explain.words import text

ALL = "all"
SEARCHED = ("id", "statement", "claimed", "measured", "verdict", "how", "why")
FIELDS = (*SEARCHED, "section", "chapter")
# What a claim is grouped under that is no known slip, by its verdict.
OTHERWISE = {
    "corrected": "otherwise on this model",
    "reproduced": "as reported",
    "recorded": "not to be measured here",
}


class ClaimExplorer(Explorer):
    """A list of claims. `verdict`, `section` and `search` are the reader's choice; "all" is any.

    A claim is found when each word of `search` occurs in what is written about it. `group`: whether
    the claims stand by what went wrong, "slip", or by "section".
    """

    _esm = script("controls", "claims")
    _css = style("claims")

    verdict = traitlets.Enum((ALL, *VERDICTS), ALL).tag(sync=True)
    section = traitlets.Unicode(ALL).tag(sync=True)
    search = traitlets.Unicode().tag(sync=True)
    group = traitlets.Enum(("slip", "section"), "slip").tag(sync=True)

    name = traitlets.Unicode().tag(sync=True)
    sections = traitlets.List(traitlets.Unicode()).tag(sync=True)
    slips = traitlets.List(traitlets.Unicode(), help="the groups of claims").tag(sync=True)
    claims = traitlets.List(traitlets.Dict(), help="the fields of each claim, as text")
    claims.tag(sync=True)

    def __init__(self, report: Report, **state):
        self._claims = list(report.claims)
        fields = [_fields(claim) for claim in self._claims]
        if (name := public(report.model)) != report.model:  # where a directory lies is private
            fields = [
                {key: value.replace(report.model, name) for key, value in of.items()}
                for of in fields
            ]
        super().__init__(
            name=label(report.model),
            claims=fields,
            sections=list(dict.fromkeys(claim.section for claim in self._claims)),
            slips=[*SLIPS, *OTHERWISE.values()],
            **state,
        )

    @traitlets.validate("section")
    def _among_the_sections(self, proposal: dict) -> str:
        if proposal["value"] not in (ALL, *self.sections):
            raise traitlets.TraitError(f"section is one of {', '.join((ALL, *self.sections))}")
        return proposal["value"]

    @property
    def shown(self) -> list[CheckedClaim]:
        """The claims that the list shows, in its order."""
        words = _plain(self.search).split()
        found = [
            claim
            for claim, fields in zip(self._claims, self.claims, strict=True)
            if self.verdict in (ALL, claim.verdict)
            and self.section in (ALL, claim.section)
            and all(word in _plain("\n".join(fields[f] for f in SEARCHED)) for word in words)
        ]
        if self.group == "section":
            return found
        return sorted(found, key=lambda claim: self.slips.index(_slip(claim)))


def explore_claims(
    report: Report | ModelLike = "olmo3-7b", *, verdict: str = ALL, search: str = ""
) -> ClaimExplorer:
    """A list of all claims of the report, to filter and search. Works without a kernel.

    `report`: what `remeasure` gave, or a MODEL to measure it on.

    >>> explorer = explore_claims("olmo3-7b", verdict="corrected", search="rotary")
    >>> [claim.id for claim in explorer.shown]
    ['calls.Olmo3RotaryEmbedding', 'calls.total']
    """
    check_text("verdict", verdict)
    if not isinstance(report, Report):
        report = remeasure(report)
    return ClaimExplorer(report, verdict=verdict, search=search)


def _fields(claim: CheckedClaim) -> dict[str, str]:
    values = {
        "claimed": text(claim.claimed, digits=10),
        "measured": text(claim.measured, digits=10),
    }
    fields = {name: values.get(name, getattr(claim, name)) for name in FIELDS}
    return fields | {"slip": _slip(claim)}


def _slip(claim: CheckedClaim) -> str:
    """What went wrong with a claim that was corrected, or else what became of it."""
    slips = [slip for slip, ids in SLIPS.items() if claim.id in ids]
    return slips[0] if slips and claim.verdict == "corrected" else OTHERWISE[claim.verdict]


def _plain(text: str) -> str:
    """Text as it is searched: small letters, numbers without thousands separators."""
    return re.sub(r"(\d),(?=\d)", r"\1", text.lower())
