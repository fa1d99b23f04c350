"""Makes the demo's data and models: `python make_demo.py`, after `pip install -r requirements.txt`.

Writes flights.parquet (20 flights of each day of 2013) and models/. The same versions on the same
kind of machine give the same bytes. `python make_demo.py --year FOLDER [--rows N] [--json]` writes
the whole year, or N flights by going round it, for load tests; see `make flights`. With `--winter FILE`
it writes what the demo's monitor takes for usual: flights of January and February; see reference.sh. With
`--months FOLDER` it writes all of them as winter.parquet, and each later month; see months.sh.
"""

import argparse
import pathlib

import flights

HERE = pathlib.Path(__file__).parent
# 366 UTC days of these are 7,320 events, so that each of the demo's topics stays below 4 MB:
# the embedded broker keeps 5 MB a partition, and a result is about 480 bytes.
FLIGHTS_PER_DAY = 20
# Of the reference: enough for its bins, evenly through each day as the demo's own are.
REFERENCE_PER_DAY = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--year", metavar="FOLDER", type=pathlib.Path)
    parser.add_argument("--rows", type=int, help="flights to write, going round the year (default: the year once)")
    parser.add_argument("--winter", metavar="FILE", type=pathlib.Path)
    parser.add_argument("--months", metavar="FOLDER", type=pathlib.Path)
    parser.add_argument("--json", action="store_true", help="JSON lines instead of Parquet")
    said = parser.parse_args()
    year = flights.year()
    if said.year:
        rows = flights.repeated(year, said.rows or len(year))
        said.year.mkdir(parents=True, exist_ok=True)
        path = said.year / f"flights-{len(rows)}.{'jsonl' if said.json else 'parquet'}"
        (flights.write_json_lines if said.json else flights.write_parquet)(rows, path)
        print(path)
        return
    winter = year[year.departed_at < "2013-03-01T00:00:00Z"]
    if said.months:
        flights.write_parquet(winter, said.months / "winter.parquet")
        for month in range(3, 13):
            of_month = year.departed_at.dt.month == month
            flights.write_parquet(year[of_month & (year.departed_at.dt.year == 2013)], said.months / f"2013-{month:02}.parquet")
        return
    if said.winter:
        flights.write_parquet(flights.a_few_each_day(winter, REFERENCE_PER_DAY), said.winter)
        return
    import models

    flights.write_parquet(flights.a_few_each_day(year, FLIGHTS_PER_DAY), HERE / "flights.parquet")
    data = models.Data(year)
    models.flight_delay(data, HERE / "models" / "flight-delay" / "1")
    models.flight_late(data, HERE / "models" / "flight-late" / "1")


if __name__ == "__main__":
    main()
