"""Six dialects of HTTP clients, read into one inner request and written from one stream of node lines.

Everything here is pure: bytes in, bytes out. Ids and times are arguments.
"""
