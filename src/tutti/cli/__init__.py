"""The command line: a thin face over the catalog. `main.main` is the one boundary where errors become exit codes."""
