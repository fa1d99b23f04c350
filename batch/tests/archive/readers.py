"""Counts and sums of an archive folder, as one reader sees it: readers.py FOLDER READER."""
import sys
folder, reader = sys.argv[1], sys.argv[2]
if reader == "duckdb":
    import duckdb
    out = duckdb.sql(f"""select count(*), sum("offset"), sum(source_partition), count(text), sum(x),
        sum(len(few)), count("at") from '{folder}/**/*.parquet'""").fetchall()[0]
else:
    if reader == "polars":
        import polars
        table = polars.read_parquet(folder).to_arrow()
    elif reader == "pandas":
        import pandas, pyarrow
        frame = pandas.read_parquet(folder)
        frame["source_partition"] = frame["source_partition"].astype("int32")
        table = pyarrow.Table.from_pandas(frame)
    else:
        import pyarrow.parquet
        table = pyarrow.parquet.read_table(folder)
    import pyarrow, pyarrow.compute as c
    total = lambda name: c.sum(table[name].cast(pyarrow.float64())).as_py()
    filled = lambda name: table.num_rows - table[name].null_count
    assert filled("two") == filled("bytes") == filled("text")
    out = (table.num_rows, total("offset"), total("source_partition"), filled("text"), total("x"),
        c.sum(c.list_value_length(table["few"])).as_py(), filled("at"))
print(*[int(value) for value in out])
