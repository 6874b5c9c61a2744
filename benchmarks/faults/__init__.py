"""`make faults`: what clients see of proxies whose backends die, hang, lie, come back or drown."""
