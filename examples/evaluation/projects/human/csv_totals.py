"""Totals of a numeric CSV column by group."""

import csv
import sys


def totals(path, key, column):
    result = {}
    with open(path, newline="") as f:
        for row in csv.DictReader(f):
            try:
                result[row[key]] = result.get(row[key], 0) + float(row[column])
            except ValueError:
                pass
    return result


if __name__ == "__main__":
    path, key, column = sys.argv[1:4]
    for k, v in sorted(totals(path, key, column).items()):
        print(k, v)
