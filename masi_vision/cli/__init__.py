"""The command line, one module per verb; only here is anything printed and an exit code chosen."""
