"""Counts a table on S3 without tidegate: `count.py ENDPOINT BUCKET/PREFIX COLUMN...` prints rows and distinct rows."""

import json
import sys

import pyarrow.dataset as dataset
from pyarrow.fs import S3FileSystem

endpoint, place, *columns = sys.argv[1:]
store = S3FileSystem(
    access_key="test", secret_key="test", region="us-east-1", scheme="http", endpoint_override=endpoint
)
table = dataset.dataset(place, filesystem=store, format="parquet").to_table(columns=columns)
distinct = table.group_by(columns).aggregate([]).num_rows
print(json.dumps({"rows": table.num_rows, "distinct": distinct}))
