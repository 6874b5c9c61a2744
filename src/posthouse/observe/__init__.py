"""What can be seen from outside: the access log, the process log, and the placeholders of templates.

    record.py        Subject: what may be asked about one exchange
    placeholders.py  "{host}{uri}" compiled once into a function of a Subject
    access_log.py    one line per exchange (common, combined, json), written in batches
    process_log.py   what happens to the process itself, one line per event, errors rate-limited
    output.py        a file, stdout or stderr that never makes its writer wait
    timestamps.py    points in time and durations as text

Nothing here runs unless a site asks for it: a site without `log` has no `AccessLog`, and a header rule
without a placeholder is a constant. Values that come from a peer are escaped in both logs, so one event is
always exactly one line.
"""
