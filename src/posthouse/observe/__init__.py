"""What can be seen from outside: the access log, the process log, and the placeholders of templates.

    record.py        Subject: what may be asked about one exchange
    placeholders.py  "{host}{uri}" compiled once into a function of a Subject
    access_lines.py  one line per exchange: common, combined, json, and formats of the user's own
    masking.py       addresses cut to their network before they are written
    error_log.py     one line per error that we answer with (`errors`)
    access_log.py    lines of either, written in batches
    process_log.py   what happens to the process itself, one line per event, errors rate-limited
    output.py        a file, stdout or stderr that never makes its writer wait
    syslog_output.py a syslog daemon that never does
    rotation.py      when a file is full, and what becomes of those put aside
    housekeeping.py  compressing and deleting them, in a thread
    timestamps.py    points in time and durations as text

Nothing here runs unless a site asks for it: a site without `log` has no `AccessLog`, and a header rule
without a placeholder is a constant. Values that come from a peer are escaped in both logs, so one event is
always exactly one line.
"""
