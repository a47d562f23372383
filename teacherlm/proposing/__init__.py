"""A pipeline proposed for a data file: looked at, its columns mapped, written as YAML."""
