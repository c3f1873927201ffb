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
    rounds = plan.rounds
    measured = pages.measure(plan.html, rounds)
    for page in measured:
        name, size, ready = page["page"], page["bytes_transferred"], page["ready_seconds"]
        subject.rows.append(Row("transferred", name, size, "bytes", rounds=rounds))
        subject.rows.append(Row("ready", name, ready, "s", rounds=rounds))
        if (seconds := page["key_to_frame_seconds"]) is not None:
            keys = rounds * pages.KEYS
            subject.rows.append(Row("key to frame", name, 1e3 * seconds, "ms", rounds=keys))
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
