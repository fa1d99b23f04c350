"""Flights for the dashboard's pictures: `flights.py FOLDER`, with what deploy/demo/requirements.txt names.

Writes before.parquet (May 2013, what is usual), flights-pictures.jsonl (1 June to 14 July, the events) and
flights-landed.jsonl (their labels): whether a flight was really late, known eight hours after it left. On 18
June no label comes at all, from 24 to 26 June none from JFK; diverted flights never have one. One label in forty
comes a day after its time-to-live of two days is over.
"""

import json
import pathlib
import sys

import pandas as pd

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "demo"))
import flights  # noqa: E402

LATE = 15
KNOWN_AFTER = pd.Timedelta(hours=8)
TOO_LATE_AFTER = pd.Timedelta(days=3)


def main(folder: pathlib.Path) -> None:
    year = flights.year()
    between = lambda start, end: year[(year.departed_at >= start) & (year.departed_at < end)]  # noqa: E731
    flights.write_parquet(between("2013-05-01T00:00:00Z", "2013-06-01T00:00:00Z"), folder / "before.parquet")
    events = between("2013-06-01T00:00:00Z", "2013-07-15T06:00:00Z")
    flights.write_json_lines(events, folder / "flights-pictures.jsonl")
    day = events.departed_at.dt.strftime("%m-%d")
    lost = (day == "06-18") | (day.between("06-24", "06-26") & (events.origin == "JFK"))
    known = events[events.arr_delay.notna() & ~lost]
    rows = []
    for place, flight in enumerate(known.itertuples()):
        after = TOO_LATE_AFTER if place % 40 == 0 else KNOWN_AFTER
        at = flight.departed_at + after
        rows.append((at, {"id": flight.id, "late": bool(flight.arr_delay > LATE), "known_at": int(at.timestamp() * 1000)}))
    rows.sort(key=lambda row: row[0])
    # The last labels are those of the last flights: what comes later is not known yet.
    newest = events.departed_at.max() + KNOWN_AFTER
    with open(folder / "flights-landed.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, separators=(",", ":")) + "\n" for at, row in rows if at <= newest)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
