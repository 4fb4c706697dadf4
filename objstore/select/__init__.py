"""S3 Select: its SQL, its records, and the process that runs a query apart from the server.

`lexer`, `parser` and `syntax` read the caller's text into a closed set of nodes; `translate` writes DuckDB's
SQL from these, so that no text of the caller's is ever run; `records` cuts an object into records; `engine`
puts them together inside a process of its own (`child`), which `process` starts, feeds and ends.
"""
