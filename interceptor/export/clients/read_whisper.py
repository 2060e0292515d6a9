"""Prints what carbon has stored of a metric.

usage: read_whisper.py FILE FROM UNTIL

One line for each value in (FROM, UNTIL]: its time, a space, and the value.
Nothing if there is no such file.
"""

import os
import sys

import whisper

path, start, end = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if os.path.exists(path):
    (time, _, step), values = whisper.fetch(path, start, end)
    for value in values:
        if value is not None:
            print(time, value)
        time += step
