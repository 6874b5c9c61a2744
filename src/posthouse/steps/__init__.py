"""Steps: directives at work before the route (`rewrite`, `basicauth`, `redir`, `status`, `internal`), one file each.

They know no socket, clock or file: what they need is handed in by `server/site_steps.py`, whose table is their order.
"""
