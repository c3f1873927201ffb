"""The book's pages: what each weighs, when it is ready, how fast an explorer answers a key."""

import statistics

from benchmarks.frame import Plan, Row, Subject, tell

TITLE = "The book's pages, in Chromium with a processor slowed down four times"


def measure(plan: Plan) -> Subject:
    subject = Subject("pages", TITLE)
    if plan.html is None or not (plan.html / "index.html").is_file():
        subject.skipped.append("pages: make book builds the book first")
        return subject
    from benchmarks import pages

    tell("pages")
    measured = pages.measure(plan.html)
    for page in measured:
        subject.rows.append(Row("transferred", page["page"], page["bytes_transferred"], "bytes"))
        subject.rows.append(Row("ready", page["page"], page["ready_seconds"], "s"))
        if (seconds := page["key_to_frame_seconds"]) is not None:
            row = Row("key to frame", page["page"], 1e3 * seconds, "ms", rounds=pages.KEYS)
            subject.rows.append(row)
    for what, key, scale, unit in (
        ("transferred", "bytes_transferred", 1, "bytes"),
        ("ready", "ready_seconds", 1, "s"),
        ("key to frame", "key_to_frame_seconds", 1e3, "ms"),
    ):
        values = [scale * page[key] for page in measured if page[key] is not None]
        median = statistics.median(values)
        subject.rows.append(Row(f"{what}, median page", "book", median, unit, rounds=len(values)))
        subject.rows.append(Row(f"{what}, worst page", "book", max(values), unit))
    return subject
